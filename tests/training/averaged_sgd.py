"""The smallest optimizer with two sets of weights: schedule-free SGD, after Defazio et al. 2024."""

from torch.optim import Optimizer

BETA = 0.9


class AveragedSGD(Optimizer):
    """Takes gradients at `y` between fast weights `z` and their mean `x`; parameters are y in train mode, else x."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr, "train_mode": False, "steps": 0})

    def train(self):
        self._switch(True, lambda x, z: BETA * x + (1 - BETA) * z)

    def eval(self):
        self._switch(False, lambda y, z: (y - (1 - BETA) * z) / BETA)

    def _switch(self, train_mode, weights):
        for group in self.param_groups:
            if group["train_mode"] != train_mode:
                group["train_mode"] = train_mode
                for parameter in group["params"]:
                    if "z" in self.state[parameter]:
                        parameter.data.copy_(weights(parameter.data, self.state[parameter]["z"]))

    def step(self, closure=None):
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            assert group["train_mode"], "a step was taken with the averaged weights"
            group["steps"] += 1
            for parameter in group["params"]:
                if parameter.grad is not None:
                    z = self.state[parameter].setdefault("z", parameter.data.clone())
                    x = (parameter.data - (1 - BETA) * z) / BETA
                    z -= group["lr"] * parameter.grad
                    x += (z - x) / group["steps"]
                    parameter.data.copy_(BETA * x + (1 - BETA) * z)
        return loss
