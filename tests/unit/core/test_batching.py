"""Batches of as many images as fit: results depend neither on the batch size nor on memory that ran out."""

import itertools
import warnings
from collections import UserList

import pytest
import torch
from closeness import assert_close
from networks import CLASSES, SIZE, SharedInPlace, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.batching import (
    CPU_IMAGES,
    in_batches,
    initial_batch_size,
    is_out_of_memory,
    pass_batch_size,
    scores_of,
)  # fmt: skip
from xai_widgets.methods import METHODS, family

#: Error messages of allocators.
ERRORS = {
    "CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    "CPU, Windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    "CUDA": torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "MPS": RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    "Python": MemoryError(),
}
#: Methods that ask for many points of an image.
MANY = [name for name, method in family("attribution").items() if method.cost.each and method.quick]


class Small(SharedInPlace):
    """A network through which no more than ``fits`` images go at a time, forward or backward."""

    def __init__(self, error=ERRORS["CPU"]):
        super().__init__()
        # A list would be that of the replica.
        self.fits, self.error, self.seen = 1000, error, UserList()

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > self.fits:
            raise self.error
        return super().forward(x)


@pytest.fixture
def small():
    return settle(Small())


def memory_warnings(caught):
    return [str(each.message) for each in caught if "out of memory: " in str(each.message)]


def call(method, model, x, **options):
    """Return the result of a method and its warnings about memory."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = METHODS[method](model, x, [0, 1, 2], **METHODS[method].quick, **options)
    return made, memory_warnings(caught)


@pytest.mark.parametrize("method", MANY)
def test_memory_that_runs_out_changes_no_result_and_warns_once(method, small):
    x = images(3)
    whole, silent = call(method, wrap(small), x)
    model = wrap(small)
    small.fits = 3
    made, words = call(method, model, x)
    assert_close(made, whole)
    assert silent == []
    assert len(words) == 1
    assert "out of memory: batch size reduced to 3 for images of 8 x 8 through Small" in words[0]
    small.seen.clear()
    again, words = call(method, model, x)
    assert words == []
    assert max(small.seen) == 3
    assert torch.equal(again, made)


@pytest.mark.parametrize("method", MANY)
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_results_do_not_hang_on_the_batch_size(method, batch_size, small):
    x = images(3)
    made, _ = call(method, wrap(small), x, batch_size=batch_size)
    assert_close(made, call(method, wrap(small), x)[0])


@pytest.mark.parametrize("method", MANY)
def test_a_single_image_that_does_not_fit_raises_the_allocators_error(method, small):
    model = wrap(small)
    small.fits = 0
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        call(method, model, images(3))
    small.fits = 1000
    assert call(method, model, images(3))[1] == []


@pytest.mark.parametrize("method", MANY)
def test_a_batch_size_that_is_given_is_kept(method, small):
    model = wrap(small)
    small.fits = 3
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        call(method, model, images(3), batch_size=4)
    assert call(method, model, images(3), batch_size=3)[1] == []


@pytest.mark.parametrize("name", ERRORS)
def test_every_allocators_words_are_known(name):
    assert is_out_of_memory(ERRORS[name])
    model = wrap(settle(Small(ERRORS[name])))
    model.module.fits = 2
    with pytest.warns(UserWarning, match="batch size reduced to 2 for images of 8 x 8"):
        assert len(scores_of(model, images(5))) == 5


def test_other_errors_are_passed_on_at_once(small):
    small.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    model = wrap(small)
    # The estimate of the memory is a pass of its own.
    pass_batch_size(model, (SIZE, SIZE))
    small.fits = 2
    small.seen.clear()
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        scores_of(model, images(5))
    assert small.seen == [5]


def test_an_interrupt_while_it_is_tried_is_passed_on_and_nothing_is_kept(small):
    model = wrap(small)
    small.fits, small.error = 2, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        scores_of(model, images(5))
    small.fits = 1000
    small.seen.clear()
    scores_of(model, images(5))
    assert small.seen == [5]


def test_items_are_drawn_in_their_turn_and_once(small):
    model, drawn, made = wrap(small), [], []

    def items():
        for k in range(11):
            drawn.append(k)
            yield k

    def compute(part):
        if len(part) > 3:
            raise MemoryError
        return list(part)

    passes = in_batches(model, items(), compute, size=(8, 9))
    with pytest.warns(UserWarning, match="reduced to 2 for images of 8 x 9"):
        made += next(passes)[1]
    assert drawn == list(range(11))
    for part, result in passes:
        assert part == result
        made += result
    assert made == drawn == list(range(11))
    # The batch size is cached for this image size only.
    assert [len(part) for part, _ in in_batches(model, items(), list, size=(8, 8))] == [11]
    assert [len(part) for part, _ in in_batches(model, items(), list, size=(8, 9))] == [2, 2, 2, 2, 2, 1]


def test_the_first_batch_size_follows_from_the_memory_of_an_image(small):
    model = wrap(small)
    assert initial_batch_size(model, (SIZE, SIZE)) == CPU_IMAGES
    assert initial_batch_size(model, (4000, 4000)) == 1
    wide = wrap(nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Flatten(), nn.LazyLinear(CLASSES)), size=224)
    number = initial_batch_size(wide, (224, 224))
    assert 1 < number < CPU_IMAGES
    # An image of half the side takes a quarter of the memory.
    assert initial_batch_size(wide, (128, 128)) > number


def test_a_small_image_is_not_worth_a_pass(small):
    model = wrap(small)
    small.seen.clear()
    initial_batch_size(model, (SIZE, SIZE))
    assert small.seen == []


def test_a_batch_size_below_1_is_refused(small):
    with pytest.raises(
        ValueError, match="expected batch_size to be an integer of at least 1, got 0"
    ) as error:
        list(in_batches(wrap(small), [1], list, size=(8, 8), batch_size=0))
    one_sentence(error)


def test_items_are_drawn_when_their_turn_comes(small):
    # An endless iterator.
    passes = in_batches(wrap(small), itertools.count(), list, size=(8, 8))
    assert [next(passes)[1][0] for _ in range(3)] == [0, CPU_IMAGES, 2 * CPU_IMAGES]


def test_the_allocators_error_on_this_machine_is_known():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**58)
    assert is_out_of_memory(error.value)
