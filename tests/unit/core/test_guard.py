import pytest
import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from xai_widgets.core.guard import guarded, outside_inference, thread_state


class Mode(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("leave", ["return", "raise", "interrupt"])
def test_what_is_left_behind_is_put_right(leave):
    def work():
        torch._C._set_grad_enabled(False)
        torch._C._push_on_torch_function_stack(Mode())
        thread_state.hooks = ("left",)
        if leave == "raise":
            raise ValueError
        if leave == "interrupt":
            raise KeyboardInterrupt

    with Mode() as outer:
        if leave == "return":
            guarded(work)()
        else:
            with pytest.raises((ValueError, KeyboardInterrupt)):
                guarded(work)()
        assert _get_current_function_mode_stack() == [outer]
        assert torch.is_grad_enabled()
        assert thread_state.hooks == ()


def test_a_mode_that_got_lost_is_put_back():
    with Mode() as outer:
        guarded(torch._C._pop_torch_function_stack)()
        assert _get_current_function_mode_stack() == [outer]


def test_an_interrupt_of_the_restoring_is_made_up_for(monkeypatch):
    from xai_widgets.core import guard

    plain, calls = guard._Saved.restore, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        plain(self)

    monkeypatch.setattr(guard._Saved, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        guarded(lambda: torch._C._set_grad_enabled(False))()
    assert torch.is_grad_enabled()


def test_the_inference_mode_of_the_caller_is_left_and_entered_again():
    with torch.inference_mode():
        with outside_inference():
            assert not torch.is_inference_mode_enabled()
        assert torch.is_inference_mode_enabled()
    with outside_inference():
        assert not torch.is_inference_mode_enabled()
