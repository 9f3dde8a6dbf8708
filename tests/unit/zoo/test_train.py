"""Training: the pool, the augmentation, and a short run that learns."""

import pytest
import torch
from closeness import assert_close

from xai_widgets.data import scenes
from xai_widgets.zoo import files, networks, train


def test_pool_holds_the_scenes_in_order_whatever_the_workers():
    recipe = train.Recipe(workers=1)
    images, targets = train.generate_pool(30, recipe, seed=4)
    assert images.shape == (30, 3, 96, 96)
    assert images.dtype == torch.uint8
    counts = (targets > 0).sum(1)
    assert_close(targets.sum(1), torch.ones(30))
    assert set(counts.tolist()) == {1, 2, 3}
    assert (targets.argmax(1)[counts == 1] == torch.arange(30)[counts == 1] % 12).all()
    alone = int(torch.nonzero(counts == 1)[0])
    assert torch.equal(images[alone].permute(1, 2, 0), torch.from_numpy(scenes.scene(alone, seed=4).image))
    direct = train._chunk(0, 30, recipe.several, 4)
    assert torch.equal(images, torch.from_numpy(direct[0]).permute(0, 3, 1, 2))


def test_augmentation_stays_in_range_and_depends_on_its_generator_only():
    images = torch.randint(0, 256, (8, 3, 96, 96), dtype=torch.uint8)
    a = train.augmented(images, torch.Generator().manual_seed(1))
    b = train.augmented(images, torch.Generator().manual_seed(1))
    c = train.augmented(images, torch.Generator().manual_seed(2))
    assert a.shape == images.shape
    assert 0 <= a.min() <= a.max() <= 1
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_normalization_is_that_of_the_model():
    x = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
    assert train.normalized(x).flatten().tolist() == [-2, 0, 2]


@pytest.fixture
def few_scenes(monkeypatch):
    """Make the pool in this process, and validate on a few scenes."""
    generate = scenes.generate

    def pool(n, recipe, *, seed):
        images, targets = train._chunk(0, n, recipe.several, seed)
        return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(targets)

    monkeypatch.setattr(train, "generate_pool", pool)
    monkeypatch.setattr(scenes, "generate", lambda count, **options: generate(count // 10, **options))


@pytest.mark.usefixtures("few_scenes")
@pytest.mark.parametrize("name", sorted(networks.BUILDERS))
def test_a_short_run_learns_and_writes_a_file_the_loader_reads(name, tmp_path):
    path = tmp_path / f"{name}.safetensors"
    # A run sets the number of threads of the whole process: leave it as it is for the other tests.
    threads = torch.get_num_threads()
    recipe = train.Recipe(epochs=2, images=256, batch=16, workers=1, threads=threads)
    report = train.train(name, recipe, path)
    assert report["bytes"] == path.stat().st_size
    from xai_widgets.zoo import load

    model = load(name, weights=path, device="cpu")
    images, targets = train.generate_pool(48, recipe, seed=0)
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(model.scores(images.float() / 255), targets)
    untrained = load(name, weights=None, device="cpu")
    with torch.inference_mode():
        before = torch.nn.functional.cross_entropy(untrained.scores(images.float() / 255), targets)
    assert loss < before - 0.2
    state, facts = files.read(path)
    assert facts["epoch"] == 2
    assert set(state) == {
        k for k in networks.build(name).state_dict() if not k.endswith("num_batches_tracked")
    }


def test_top1_counts_right_answers():
    class First(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.one_hot(torch.zeros(len(x), dtype=torch.long), 12).float()

    labels = torch.tensor([0, 1, 0, 2])
    assert train.top1(First(), torch.zeros(4, 3, 96, 96, dtype=torch.uint8), labels) == 0.5


@pytest.mark.usefixtures("few_scenes")
def test_permuted_labels_are_memorized(tmp_path, monkeypatch):
    path = tmp_path / "scenes_vgg_permuted.safetensors"
    recipe = train.PermutedRecipe(epochs=20, images=64, batch=16, workers=1, threads=torch.get_num_threads())
    _, targets = train.generate_pool(64, recipe, seed=0)
    labels = train.permuted_labels(targets, recipe)
    assert sorted(labels.tolist()) == sorted(targets.argmax(1).tolist())
    assert (labels != targets.argmax(1)).float().mean() > 0.7
    train.train("scenes_vgg_permuted", recipe, path)
    monkeypatch.setattr(files, "weights_path", lambda name: path)
    assert train.memorized("scenes_vgg_permuted", recipe)["training"] > 0.8
