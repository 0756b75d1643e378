"""sigjepa: how much of a function's body can be predicted from its signature?"""

__version__ = "0.1.0"
