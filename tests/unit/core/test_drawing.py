"""Random numbers do not depend on the blocks in which they are moved."""

import torch

from xai_widgets.core import drawing


def test_the_numbers_of_a_block_are_those_drawn_one_by_one(monkeypatch):
    monkeypatch.setattr(drawing, "BLOCK", 30)

    def draws(device):
        generator, made = torch.Generator().manual_seed(0), []
        for number in drawing.drawn(lambda: torch.randn(10, generator=generator), 8, torch.device(device)):
            made.append(number)
        return made, generator.get_state()

    # The meta device keeps no numbers, so the state of the generator is compared.
    (one, state), (blocks, after) = draws("cpu"), draws("meta")
    assert len(one) == len(blocks) == 8
    assert torch.equal(state, after)
    generator = torch.Generator().manual_seed(0)
    assert all(torch.equal(each, torch.randn(10, generator=generator)) for each in one)


def test_no_more_is_drawn_than_one_block_ahead(monkeypatch):
    monkeypatch.setattr(drawing, "BLOCK", 30)
    drawn = []
    images = drawing.drawn(lambda: drawn.append(1) or torch.zeros(10), 100, torch.device("meta"))
    next(images)
    assert len(drawn) == 3
