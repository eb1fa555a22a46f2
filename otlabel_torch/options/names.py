"""Options whose values are names of a registry: also those that are registered after this was read."""

from __future__ import annotations

from tyro.constructors import PrimitiveConstructorSpec

from ..system.registry import Registry


class NameIn(PrimitiveConstructorSpec[str]):
    """The annotation of such an option, for ``Annotated[str, NameIn(registry)]``."""

    def __init__(self, registry: Registry):
        super().__init__(
            nargs=1,
            metavar="NAME",
            instance_from_str=lambda words: words[0],
            is_instance=lambda value: isinstance(value, str),
            str_from_instance=lambda value: [value],
        )
        object.__setattr__(self, "_registry", registry)  # the class is frozen

    def __getattribute__(self, name: str):
        if name == "choices":  # a name may have been registered since: asked for when a command line is read
            return object.__getattribute__(self, "_registry").names
        if name == "metavar":
            return "{" + ",".join(self.choices or ()) + "}"
        return super().__getattribute__(name)
