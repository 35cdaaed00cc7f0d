"""Model families of Hugging Face: conversion of settings and weights in both directions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minigrad.io import BFLOAT16
from transformer.model.config import Tie, TransformerConfig
from transformer.pretrained.huggingface.equivalence import resolved, simplified

Array = np.ndarray[Any, Any]
Settings = dict[str, Any]
Shape = tuple[int, ...]
OF_OTHER_KINDS = (TypeError, AttributeError, ArithmeticError, LookupError)  # errors of values that are no numbers, or 0


@dataclass(frozen=True)
class Setting:
    """Setting of ``config.json`` and its field of :class:`TransformerConfig`.

    Args:
        theirs: the setting's name.
        ours: the field's name. Where several settings share a field, their values have to agree.
        default: the value if absent, or a function of the other settings.
        values: pairs of their value and ours, where the two differ; the first of several with our value is written.
        convert: their value to ours, where no table can; it may read the other settings.
        revert: ours to theirs, from the whole configuration.
        nullable: null is a value; otherwise it counts as absent.
    """

    theirs: str
    ours: str
    default: Any = None
    values: tuple[tuple[Any, Any], ...] | None = None
    convert: Callable[[Any, Settings], Any] | None = None
    revert: Callable[[TransformerConfig], Any] | None = None
    nullable: bool = False

    def read(self, settings: Settings) -> Any:
        """Convert the setting to the field's value."""
        value = settings.get(self.theirs)
        if value is None and not (self.nullable and self.theirs in settings):
            value = self._usual(settings)
        if self.convert is not None:
            try:
                return self.convert(value, settings)
            except OF_OTHER_KINDS:
                return value
        if self.values is None:
            return value
        for theirs, ours in self.values:
            if value == theirs and isinstance(value, bool) == isinstance(theirs, bool):
                return ours
        raise ValueError(f"{self.theirs}: expected one of {', '.join(repr(v) for v, _ in self.values)}, got {value!r}")

    def _usual(self, settings: Settings) -> Any:
        """Value where the setting is absent; None if one that it depends on is of another kind, which is an error."""
        if not callable(self.default):
            return self.default
        try:
            return self.default(settings)
        except OF_OTHER_KINDS:
            return None

    def write(self, config: TransformerConfig) -> Any:
        """Convert the field to the setting's value."""
        if self.revert is not None:
            return self.revert(config)
        value = resolved(config)[self.ours]
        if self.values is None:
            return value
        for theirs, ours in self.values:
            if value == ours:
                return theirs
        raise ValueError(f"{self.ours}: {value!r} has no name in {self.theirs}")


ACTIVATIONS = (
    ("gelu", "gelu"),
    ("gelu_new", "gelu_tanh"),
    ("gelu_pytorch_tanh", "gelu_tanh"),
    ("gelu_fast", "gelu_tanh"),
    ("gelu_python", "gelu"),
    ("quick_gelu", "gelu_sigmoid"),
    ("relu", "relu"),
    ("relu2", "relu_squared"),
    ("silu", "silu"),
    ("swish", "silu"),
    ("tanh", "tanh"),
)
GATED = (  # the same of networks with a gate
    ("silu", "swiglu"),
    ("swish", "swiglu"),
    ("gelu_pytorch_tanh", "geglu"),
    ("gelu_new", "geglu"),
    ("gelu_fast", "geglu"),
    ("gelu", "geglu_exact"),
    ("gelu_python", "geglu_exact"),
    ("relu", "reglu"),
)


def with_defaults(settings: tuple[Setting, ...], **defaults: Any) -> tuple[Setting, ...]:
    """Settings with other default values, by their names."""
    unknown = defaults.keys() - {setting.theirs for setting in settings}
    assert not unknown, unknown
    return tuple(
        dataclasses.replace(setting, default=defaults[setting.theirs]) if setting.theirs in defaults else setting
        for setting in settings
    )


def token(theirs: str, default: int | None = None) -> Setting:
    """Setting of a special token: ``pad_token_id`` is our ``pad_id``."""
    return Setting(theirs, theirs.replace("_token_id", "_id"), default, nullable=True)


class Layout(NamedTuple):
    """Layout of parameters in an array of a file."""

    split: Callable[[Array, list[Shape], TransformerConfig], list[Array]]  # the array, into parameters of these shapes
    join: Callable[[list[Array], TransformerConfig], Array]


def split_rows(array: Array, shapes: list[Shape], config: TransformerConfig) -> list[Array]:
    """Split an array of matrices, or of vectors, that stand one below the other."""
    return np.split(array, np.cumsum([shape[0] for shape in shapes])[:-1])


AS_IT_IS = Layout(lambda array, shapes, config: [array], lambda parts, config: parts[0])
ROWS = Layout(split_rows, lambda parts, config: np.concatenate(parts))


class Place(NamedTuple):
    """Place of a module's parameters in a file."""

    name: str
    layout: Layout = AS_IT_IS


class Architecture(NamedTuple):
    """Model class of a family, and ours."""

    kind: str  # the name of our class
    stem: str = ""  # prefix of the family's names that our names lack
    bare: bool = False  # True if their names lack the family's prefix
    constants: Mapping[str, Any] = {}  # fields of ours, in the place of those that the family reads
    places: Mapping[str, str | Place] = {}  # of parts that other classes of the family lack
    settings: tuple[Setting, ...] = ()  # the same


def layers(ours: str, theirs: str, parts: Mapping[str, str | Place]) -> dict[str, str | Place]:
    """Places of the parts of a stack's layers: those of ``encoder`` may be below ``bert.encoder.layer``."""
    places: dict[str, str | Place] = {}
    for name, place in parts.items():
        own, layout = place if isinstance(place, Place) else Place(place)
        places[f"{ours}.layers.{{n}}.{name}"] = Place(f"{theirs}.{{n}}.{own}", layout)
    return places


@dataclass
class Stored:
    """Stored array of a file, and the parameters that it holds."""

    layout: Layout
    parameters: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Family:
    """Model family with a ``model_type``.

    Args:
        model_type: its name in ``config.json``.
        architectures: its classes that we have; the first is meant where ``config.json`` names none.
        settings: the settings of ``config.json``, with our fields.
        constants: fields that are alike in all models of the family.
        fixed: settings that our models have in one way only.
        synonyms: other names of settings, and those of the table.
        prepare: settings in an older or a newer form, as the table has them.
        places: our modules or parameters, with ``{n}`` for a layer's number, or ``{g}`` for that of its group, and
            where the file keeps them. The parameters of modules with one place are joined there, in our order.
        variants: conditions on our configuration, and the places of such models that differ.
        prefix: of all names in the file but those of ``heads``, which some files leave out.
        heads: the beginnings of names that have no prefix.
        aliases: endings that old files give their names, and today's.
        copies: names of arrays that some files hold twice, and where the first is.
        ties: the same for matrices that have something in common, by :attr:`TransformerConfig.tie`. Whatever
            ``config.json`` says, the values in the file decide.
        spare: one of these arrays that models without its copies have, and never use.
        optional: names that may be missing; they are zero then.
        buffers: names of arrays that are not learned, ignored.
        computed: arrays that are not learned, and that other programs expect all the same.
        unused: names of weights that our models have no use for.
        purpose: the task that all its models are made for, if it is one.
    """

    model_type: str
    architectures: dict[str, Architecture]
    settings: tuple[Setting, ...]
    constants: Mapping[str, Any]
    fixed: Mapping[str, Any]
    places: Mapping[str, str | Place]
    prefix: str
    heads: tuple[str, ...]
    copies: Mapping[str, str] = field(default_factory=dict)
    synonyms: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Settings], Settings] = dict
    variants: tuple[tuple[Callable[[TransformerConfig], bool], Mapping[str, str | Place]], ...] = ()
    ties: Mapping[Tie, Mapping[str, str]] = field(default_factory=dict)
    spare: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    buffers: str = r"(?!)"  # matches nothing
    computed: Callable[[TransformerConfig], Mapping[str, Array]] = lambda config: {}
    unused: str = r"(?!)"
    purpose: str | None = None

    def architecture(self, names: Any) -> Architecture:
        """Model class named by the list ``architectures`` of ``config.json``."""
        name = next(iter(self.architectures)) if not names else names[0] if isinstance(names, list) else names
        if not isinstance(name, str) or name not in self.architectures:
            raise ValueError(f"architectures: expected one of {', '.join(self.architectures)}, got {names!r}")
        return self.architectures[name]

    @property
    def headless(self) -> Architecture | None:
        """Model class without a head, if there is one."""
        return next((one for one in self.architectures.values() if one.kind in ("Encoder", "Decoder")), None)

    def read(self, settings: Settings, architecture: Architecture | None = None) -> TransformerConfig:
        """Read the configuration of ``config.json``: see :meth:`describe`."""
        return self.describe(settings, architecture)[0]

    def describe(
        self, settings: Settings, architecture: Architecture | None = None
    ) -> tuple[TransformerConfig, list[str]]:
        """Configuration of ``config.json``, and its training settings that are not supported here.

        A special token that is not in the vocabulary, as defaults often are, is none; of several that end a text, the
        first counts. A start token that is the beginning of texts needs no mention.

        Raises:
            ValueError: a setting has a value that is not allowed, or that our models do not know.
        """
        settings = {self.synonyms.get(name, name): value for name, value in self.prepare(settings).items()}
        table = self._settings(architecture)
        for name, value in self.fixed.items():
            if (given := settings.get(name, value)) != value:
                raise ValueError(f"{name}: models here know only {value!r}, got {given!r}")
        defaults = {setting.theirs: setting.default for setting in table if not callable(setting.default)}
        settings = defaults | settings
        fields = dict(self.constants)
        named: dict[str, str] = {}
        differences: list[str] = []
        for setting in table:
            value = setting.read(settings)
            if setting.ours in TRAINING and not _is_usable(setting.ours, value):
                differences.append(f"{setting.theirs} is {value!r}")
                value = DEFAULTS[setting.ours]
            if setting.ours not in named:
                named[setting.ours], fields[setting.ours] = setting.theirs, value
            elif value != (first := fields[setting.ours]):
                difference = f"{named[setting.ours]}, {first!r}, got {value!r}"
                if setting.ours not in TRAINING:
                    raise ValueError(f"{setting.theirs}: models here have one value for it and {difference}")
                differences.append(f"{setting.theirs} is {value!r}, and here that of {named[setting.ours]}, {first!r}")
        fields |= {} if architecture is None else architecture.constants
        for name in (name for name in fields if name.endswith("_id")):
            fields[name] = _token(fields[name], fields["vocab_size"])
        if fields.get("decoder_start_id") == fields.get("bos_id"):
            fields.pop("decoder_start_id", None)
        try:
            # Some settings have several fields.
            return simplified(TransformerConfig(**fields)), list(dict.fromkeys(differences))
        except ValueError as error:
            names, _, rest = str(error).partition(":")
            theirs = dict.fromkeys(named.get(name, name) for name in names.split(", ") if name in named) or [names]
            raise ValueError(f"{', '.join(theirs)}:{rest}") from None

    def _settings(self, architecture: Architecture | None) -> tuple[Setting, ...]:
        return self.settings if architecture is None else (*self.settings, *architecture.settings)

    def write(self, config: TransformerConfig, architecture: Architecture | None = None) -> Settings | None:
        """Write ``config.json`` for a configuration; None where the family cannot express it exactly."""
        compared = config
        if config.is_encoder_decoder:  # other programs do not default to the start of texts
            compared = dataclasses.replace(config, decoder_start_id=config.start_id)
        try:
            settings = {setting.theirs: setting.write(compared) for setting in self._settings(architecture)}
            read = self.read(settings, architecture)
        except ValueError:
            return None
        start = None if compared.decoder_start_id == compared.bos_id else compared.decoder_start_id
        same = simplified(read) == simplified(dataclasses.replace(compared, decoder_start_id=start))
        return settings if same else None

    def canonical(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Canonical names of a file's arrays, as in the family's table, without buffers.

        Raises:
            ValueError: two names in the file mean one array, and their values differ.
        """
        known: dict[str, Array] = {}
        for name, array in arrays.items():
            if re.search(self.buffers, name):
                continue
            for old, new in self.aliases.items():
                if name.endswith(old):
                    name = name.removesuffix(old) + new
            full = name if name.startswith((self.prefix, *self.heads)) else self.prefix + name
            if full in known and not np.array_equal(known[full], array):
                raise ValueError(f"{full}: the file holds it under two names, and the values differ")
            known[full] = array
        return known

    def settle_copies(self, config: TransformerConfig, arrays: dict[str, Array]) -> TransformerConfig:
        """Remove duplicate arrays; the configuration is then that of the file's values.

        Raises:
            ValueError: two arrays are one in all models here, and their values differ.
        """
        tie = next((tie for tie in (config.tie, *self.ties) if self._has(tie, arrays)), config.tie)
        for copy, first in {**self.copies, **self.ties.get(tie, {})}.items():
            if copy not in arrays:
                continue
            if first not in arrays:
                arrays[first] = arrays.pop(copy)
            elif copy == self.spare or np.array_equal(arrays[copy], arrays[first]):
                del arrays[copy]
            else:
                raise ValueError(f"{copy}: models here have it in common with {first}, but the values differ")
        return dataclasses.replace(config, tie=tie)

    def _has(self, tie: Tie, arrays: Mapping[str, Array]) -> bool:
        """True if the file holds all matrices of models with such ties, and equal ones for those that they share."""
        shared = self.ties.get(tie, {})
        known = {name for pairs in self.ties.values() for pair in pairs.items() for name in pair} - {self.spare}
        for name in known - shared.keys():
            if not any(held in arrays for held in (name, *(copy for copy, first in shared.items() if first == name))):
                return False
        return all(
            copy == self.spare or not {copy, first} <= arrays.keys() or np.array_equal(arrays[copy], arrays[first])
            for copy, first in shared.items()
        )

    def pack(
        self, architecture: Architecture, config: TransformerConfig, state: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Pack our parameters into the arrays of a file."""
        stored = self._stored(architecture, config, state)
        arrays = {
            name: place.layout.join([state[own] for own in place.parameters], config) for name, place in stored.items()
        }
        if self.spare is not None and (first := self.ties[config.tie].get(self.spare)) in arrays:
            arrays[self.spare] = arrays[first]
        arrays.update(self.computed(config))
        return {self._named(architecture, name): array for name, array in arrays.items()}

    def unpack(
        self,
        architecture: Architecture,
        config: TransformerConfig,
        own: Mapping[str, Array],
        arrays: Mapping[str, Array],
        alone: bool = False,
        new: Set[str] = frozenset(),
    ) -> tuple[dict[str, Array], list[str]]:
        """Unpack the arrays of a file into our parameters; also returns the names of unused arrays.

        Args:
            architecture: of the model.
            config: of the model.
            own: the model's parameters as they are, for their shapes.
            arrays: by canonical name.
            alone: the model is a part of the one in the file, which has no use for the rest.
            new: parameters that are left as they are where the file has none of them, or of another shape; the output
                layer always.

        Raises:
            ValueError: names or shapes do not fit.
        """
        stored = self._stored(architecture, config, own)
        unused = [name for name in arrays if name not in stored and (alone or re.search(self.unused, name))]
        problems: list[str] = []
        state: dict[str, Array] = {}
        for name, place in stored.items():
            shape = place.layout.join([own[parameter] for parameter in place.parameters], config).shape
            is_output = place.parameters[0].startswith("output.")
            if new >= {*place.parameters} and (is_output or name not in arrays or arrays[name].shape != shape):
                continue
            if name not in arrays:
                if name not in self.optional:
                    problems.append(f"missing {self._named(architecture, name)} {shape}")
            elif arrays[name].shape != shape:
                problems.append(f"{self._named(architecture, name)}: expected shape {shape}, got {arrays[name].shape}")
            elif arrays[name].dtype.kind != "f" and arrays[name].dtype != BFLOAT16:
                problems.append(f"{self._named(architecture, name)}: expected floats, got {arrays[name].dtype}")
            else:
                parts = place.layout.split(arrays[name], [own[part].shape for part in place.parameters], config)
                state.update(zip(place.parameters, parts, strict=True))
        problems += [
            f"unexpected {self._named(architecture, name)} {array.shape}"
            for name, array in arrays.items()
            if name not in stored and name not in unused
        ]
        if problems:
            more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise ValueError(f"the weights do not fit config.json: {'; '.join(problems[:5])}{more}")
        return state, sorted(self._named(architecture, name) for name in unused)

    def modules(
        self, architecture: Architecture, config: TransformerConfig, modules: Iterable[str]
    ) -> dict[str, Stored]:
        """Modules of a file by name, each with those of these modules of ours whose weights it holds."""
        stored = self._stored(architecture, config, [f"{module}.weight" for module in modules])
        return {
            self._named(architecture, name).removesuffix(".weight"): Stored(
                place.layout, [parameter.removesuffix(".weight") for parameter in place.parameters]
            )
            for name, place in stored.items()
        }

    def _stored(
        self, architecture: Architecture, config: TransformerConfig, parameters: Iterable[str]
    ) -> dict[str, Stored]:
        """Stored arrays of these parameters, by canonical name."""
        stored: dict[str, Stored] = {}
        parameters = list(parameters)
        places = dict(self.places)
        for holds, others in self.variants:
            places |= others if holds(config) else {}
        places |= architecture.places
        layers = max(config.encoder_layers, config.decoder_layers)
        for parameter in parameters:
            full = architecture.stem + parameter
            number = re.search(r"\.(\d+)\.", full)
            pattern = re.sub(r"\.\d+\.", ".{n}.", full)
            module, _, leaf = pattern.rpartition(".")
            place = places.get(pattern, places.get(module))
            assert place is not None, f"{self.model_type} has no place for {parameter}"
            name, layout = place if isinstance(place, Place) else Place(place)
            n = int(number[1]) if number else 0
            group = n * (config.layer_groups or layers) // layers
            name = name.format(n=n, g=group) + ("" if pattern in places else f".{leaf}")
            if name == self.spare:
                name = self.ties.get(config.tie, {}).get(name, name)
            stored.setdefault(name, Stored(layout)).parameters.append(parameter)
        return stored

    def _named(self, architecture: Architecture, name: str) -> str:
        return name.removeprefix(self.prefix) if architecture.bare else name


# Settings of training alone: dropout probabilities and initialization.
DROPOUTS = ("dropout", "embedding_dropout", "attention_dropout", "activation_dropout", "head_dropout")
TRAINING = (*DROPOUTS, "layer_drop", "init_std")
DEFAULTS = {field.name: field.default for field in dataclasses.fields(TransformerConfig)}


def _is_usable(name: str, value: Any) -> bool:
    """True if training supports this value; values that are not numbers are checked elsewhere."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return True
    return 0 < value < float("inf") if name == "init_std" else 0 <= value < 1


def _token(token: Any, vocab_size: Any) -> Any:
    """First token, of one or several, in the vocabulary; values that are not numbers are checked elsewhere."""
    tokens = token if isinstance(token, list) else [token]
    if not isinstance(vocab_size, int) or not all(isinstance(token, int) for token in tokens):
        return token
    return next((token for token in tokens if 0 <= token < vocab_size), None)
