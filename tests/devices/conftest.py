"""The simulated device, registered before the first backward pass."""

import simulated_device

if simulated_device.AVAILABLE:
    # Autograd starts a thread for each device at the first backward pass of the process, and none later.
    simulated_device.register()
