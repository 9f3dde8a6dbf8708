"""The array traits: what they take, what they refuse, what is sent."""

import gc
import weakref

import numpy as np
import pytest
import torch
from traitlets import HasTraits, TraitError

from xai_widgets.views import HeatmapView
from xai_widgets.views.arrays import DTYPES, Array, Image, deserialize, serialize


class Holder(HasTraits):
    small = Array("uint8", (None,))
    whole = Array("int32", (None, 2))
    real = Array("float32", (2, None), help="Two rows.")
    half = Array("float16", (None,))
    stack = Array("float32", (None, None, None), stack=True)
    image = Image(help="An image.")


class TestSerializer:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)])
    def test_message_round_trip(self, dtype, shape):
        array = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
        message = serialize(array)
        assert message.keys() == {"dtype", "shape", "data"}
        assert message["data"].nbytes == array.nbytes
        back = deserialize(message)
        if shape:
            assert back.dtype == array.dtype
            np.testing.assert_array_equal(back, array)

    def test_an_array_from_the_browser_can_be_worked_on(self):
        back = deserialize({"dtype": "uint8", "shape": [2, 2], "data": memoryview(bytes(4))})
        back[0, 0] = 1
        np.testing.assert_array_equal(back, [[1, 0], [0, 0]])

    def test_none_is_none(self):
        assert serialize(None) is None
        assert deserialize(None) is None

    def test_strided_arrays_are_sent_in_c_order(self):
        array = np.arange(12, dtype=np.int32).reshape(3, 4)[::-1, ::2].T
        np.testing.assert_array_equal(deserialize(serialize(array)), array)

    def test_other_dtypes_are_refused(self):
        with pytest.raises(TypeError, match=r"an array of type uint8, .*, got float64"):
            serialize(np.zeros(2))


class TestArray:
    def test_casts_what_fits(self):
        holder = Holder(small=[0, 255], whole=np.array([[1.0, -2.0]]), real=np.zeros((2, 3)))
        assert holder.small.dtype == np.uint8
        assert holder.whole.tolist() == [[1, -2]]
        assert holder.real.dtype == np.float32
        assert all(getattr(holder, name).flags.c_contiguous for name in ("small", "whole", "real"))

    def test_byte_order_and_strides_do_not_matter(self):
        array = np.arange(6, dtype=">f4").reshape(3, 2).T
        holder = Holder(real=array)
        assert holder.real.dtype == np.dtype("<f4")
        np.testing.assert_array_equal(holder.real, array)

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            (
                "real",
                np.zeros((3, 2)),
                r"expected Holder\.real to be of shape \(2, any\), got shape \(3, 2\)",
            ),
            ("real", 1.0, r"expected Holder\.real to be of shape .*, got shape \(\)"),
            ("small", [1.5], r"integers from 0 to 255, got .*from 1\.5 to 1\.5"),
            ("small", [256], "integers from 0 to 255, got .*from 256 to 256"),
            ("small", [np.nan], "integers from"),
            ("whole", [[2**31, 0]], "integers from -2147483648"),
            ("half", [1e6], r"magnitudes up to 65\d+, got values up to 1e\+06"),
            ("real", [["a"], ["b"]], "an array of numbers"),
            ("real", [[1j], [2]], "an array of numbers, got .*of complex128"),
            ("real", [[1], [2, 3]], r"Holder\.real to be an array.*, got list"),
            ("real", object(), "an array of numbers, got .*of object"),
        ],
    )
    def test_refuses_in_one_sentence(self, name, value, words):
        with pytest.raises(TraitError, match=words) as error:
            Holder(**{name: value})
        assert "\n" not in str(error.value)

    def test_nan_and_infinity_are_values_of_floats(self):
        values = [np.nan, np.inf, -np.inf, 1]
        np.testing.assert_array_equal(Holder(half=values).half, np.array(values, np.float16))

    def test_a_part_alone_is_a_stack_of_one_only_where_allowed(self):
        assert Holder(stack=np.zeros((4, 5))).stack.shape == (1, 4, 5)
        with pytest.raises(TraitError):
            Holder(real=np.zeros(3))

    def test_tensors_are_read_or_refused_with_the_reason(self):
        assert Holder(stack=torch.ones(2, 2)).stack.shape == (1, 2, 2)
        assert (Holder(stack=torch.ones(2, 2, requires_grad=True)).stack == 1).all()
        with pytest.raises(TraitError, match=r"got Tensor, which numpy cannot read: .*Sparse"):
            Holder(stack=torch.ones(2, 2).to_sparse())

    def test_notifies_unless_it_is_the_same_object(self):
        holder = Holder()
        heard = []
        holder.observe(lambda change: heard.append(change["new"]), "real")
        array = np.zeros((2, 2), np.float32)
        holder.real = array
        holder.real = array
        assert len(heard) == 1
        holder.real = array.copy()
        holder.real = None
        assert len(heard) == 3
        assert heard[-1] is None

    def test_failed_assignment_keeps_the_old_value(self):
        holder = Holder(real=np.ones((2, 1)))
        with pytest.raises(TraitError):
            holder.real = np.ones(3)
        assert holder.real.shape == (2, 1)

    def test_help_is_kept_and_the_trait_is_synced(self):
        trait = Holder.class_traits()["real"]
        assert trait.help == "Two rows."
        assert trait.metadata["sync"] is True

    def test_the_trait_keeps_no_reference_to_an_array(self):
        holder = Holder(real=np.ones((2, 1), np.float32))
        array = weakref.ref(holder.real)
        holder.real = None
        gc.collect()
        assert array() is None


class TestImage:
    def test_bytes_are_kept(self):
        image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
        np.testing.assert_array_equal(Holder(image=image).image, image)

    def test_floats_are_rounded_to_the_nearest_byte(self):
        image = np.array([0, 0.5, 1, 100.4 / 255, 100.6 / 255, 0]).reshape(1, 2, 3)
        assert Holder(image=image).image.ravel().tolist() == [0, 128, 255, 100, 101, 0]

    @pytest.mark.parametrize("shape", [(2, 5), (2, 5, 1)])
    def test_gray_has_three_equal_channels(self, shape):
        image = Holder(image=np.full(shape, 9, np.uint8)).image
        assert image.shape == (2, 5, 3)
        assert (image == 9).all()

    def test_masks_are_black_and_white(self):
        assert Holder(image=np.eye(2, dtype=bool)).image[:, :, 0].tolist() == [[255, 0], [0, 255]]

    def test_images_of_pillow_are_read(self):
        pil = pytest.importorskip("PIL.Image")
        assert Holder(image=pil.new("RGB", (3, 2), "red")).image[0, 0].tolist() == [255, 0, 0]

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (np.zeros((3, 8, 8)), r"channels last, got shape \(3, 8, 8\); use \.transpose\(1, 2, 0\)"),
            (np.zeros((8, 8, 4)), r"\(height, width, 3\).*, got shape \(8, 8, 4\)"),
            (np.zeros((1, 8, 8, 3)), "expected"),
            (np.full((2, 2), 1.5), r"floats from 0 to 1, or of uint8 from 0 to 255, got .*from 1\.5 to 1\.5"),
            (np.full((2, 2), np.nan), "floats from 0 to 1"),
            (np.full((2, 2), 300), "integers from 0 to 255"),
            (np.full((2, 2), -1), "integers from 0 to 255"),
        ],
    )
    def test_refuses_in_one_sentence(self, value, words):
        with pytest.raises(TraitError, match=words) as error:
            Holder(image=value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_maps_of_networks_of_every_precision_are_taken(dtype):
    maps = torch.rand(2, 4, 5).to(dtype)
    view = HeatmapView(maps=maps.requires_grad_())
    assert np.array_equal(view.maps, maps.detach().float().numpy().astype(view.maps.dtype))
