# %% [markdown]
# # A tour in ten cells
#
# This tour makes a detector spike and looks inside. It needs no data and no trained weights, and runs in a minute on a CPU. Open it
# as a notebook with `jupytext --to notebook docs/tutorials/tour.py`, or run it with `python docs/tutorials/tour.py`.
# The weights are random, so the detector finds nothing; everything else is as it is for a trained one.

# %% [markdown]
# ## 1. Load a detector
#
# A narrow RetinaNet with ResNet-18, and one image of handwritten digits.

# %%
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope

from sakd_dense.config import config_file, to_sakd

torch.manual_seed(0)
cfg = Config.fromfile(config_file("sakd_dense::retinanet_r18_digits.py"))
init_default_scope(cfg.default_scope)
cfg.model.backbone.zero_init_residual = False  # random weights whose every layer is used
ann = MODELS.build(cfg.model)
ann.init_weights()

cfg.test_dataloader.dataset.scenes = dict(counts=(4, 2, 2))
cfg.test_dataloader.dataset.data_root = "data/tour"
dataset = DATASETS.build(cfg.test_dataloader.dataset)
sample = dataset[0]
batch = dict(inputs=[sample["inputs"]], data_samples=[sample["data_samples"]])
print(type(ann).__name__, tuple(sample["inputs"].shape))

# %% [markdown]
# ## 2. Make it spike
#
# `to_sakd` turns the config into a spiking one. Neck and head stay the ANN's.

# %%
spiking_cfg = to_sakd(cfg, time_steps=4)
print(spiking_cfg.model.backbone.type, "with T =", spiking_cfg.model.backbone.time_steps)
snn = MODELS.build(spiking_cfg.model)

# %% [markdown]
# ## 3. Level 1: start from the ANN's weights
#
# Every tensor fits, because the architecture is the same. The statistics of BatchNorm are then measured again on spikes.

# %%
from sakd_dense.transfer import reestimate, transfer

torch.save(dict(state_dict=ann.state_dict()), "data/tour/ann.pth")
report = transfer(snn, "data/tour/ann.pth")
print(f"{len(report.loaded)} tensors taken, {len(report.left)} left")
image = snn.data_preprocessor(batch, False)["inputs"]
reestimate(snn.backbone, [image], 1)
snn.eval()

# %% [markdown]
# ## 4. Count the spikes of each layer and time step

# %%
import matplotlib.pyplot as plt

from sakd_dense.neurons import SpikingNeuron

fired: dict[str, torch.Tensor] = {}
hooks = [
    layer.register_forward_hook(
        lambda layer, args, spikes, name=name: fired.update({name: spikes.unflatten(0, (4, -1))})
    )
    for name, layer in snn.backbone.named_modules()
    if isinstance(layer, SpikingNeuron)
]
with torch.no_grad():
    snn.backbone(image)
for hook in hooks:
    hook.remove()
rates = torch.stack([spikes.clamp(max=1).flatten(1).mean(1) for spikes in fired.values()])
print(f"{len(fired)} layers of neurons, mean firing rate {rates.mean():.3f}")

# %%
figure, axes = plt.subplots(figsize=(6, 5))
picture = axes.imshow(rates.numpy(), aspect="auto", cmap="viridis")
axes.set_xlabel("time step")
axes.set_xticks(range(4), range(1, 5))
axes.set_yticks(range(len(fired)), fired, fontsize=6)
figure.colorbar(picture, label="firing rate")
figure.tight_layout()

# %% [markdown]
# ## 5. Look at the spikes
#
# The first layer of neurons, one channel, at each time step: the same image makes different spikes, because potentials build up.

# %%
first = next(iter(fired.values()))
channel = int(first.float().mean((0, 1, 3, 4)).argmax())
figure, panels = plt.subplots(1, 5, figsize=(11, 2.4))
panels[0].imshow(sample["inputs"].permute(1, 2, 0).flip(2).numpy())
panels[0].set_title("image")
for t, panel in enumerate(panels[1:]):
    panel.imshow(first[t, 0, channel].numpy(), cmap="gray")
    panel.set_title(f"spikes at t = {t + 1}")
for panel in panels:
    panel.axis("off")
figure.tight_layout()

# %% [markdown]
# ## 6. Read every T from one pass
#
# The backbone runs once, at T = 4. Its first two steps are a pass at T = 2, bit for bit.

# %%
from sakd_dense.timesteps import PrefixReader

predictions = PrefixReader(snn, (1, 2, 4)).read(lambda: snn.test_step(batch))
for t, (found,) in predictions.items():
    print(f"T = {t}: {len(found.pred_instances)} boxes")

# %%
snn.backbone.time_steps = 2
with torch.no_grad():
    apart = snn.test_step(batch)[0].pred_instances
snn.backbone.time_steps = 4
together = predictions[2][0].pred_instances
print("equal to a separate pass at T = 2:", torch.equal(apart.bboxes, together.bboxes))

# %% [markdown]
# ## 7. Operations and energy
#
# Under the spike-count convention an integer n counts as n additions; under the strict convention it multiplies.

# %%
from sakd_dense.energy import cost_of, measure

costs = cost_of("fp32")
for name, model, steps in (("ANN", ann.eval(), None), ("SNN, T = 4", snn, 4)):
    total = measure(model, [batch], steps).total().operations
    energy = {c: total.millijoule(c, costs.e_mac_pj, costs.e_ac_pj) for c in ("strict", "count")}
    print(f"{name:10s}  strict {energy['strict']:.2f} mJ   spike-count {energy['count']:.2f} mJ")

# %% [markdown]
# Next: [train a detector on your own data](detection.md).
