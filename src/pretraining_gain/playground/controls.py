"""The widgets for the choice: each offers only what the others leave possible."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import ipywidgets as widgets

from pretraining_gain.errors import InputError
from pretraining_gain.plan.backbones import BACKBONES
from pretraining_gain.plan.parts import Downstream
from pretraining_gain.plan.pools import POOLS, SCRATCH
from pretraining_gain.plan.recipes import Recipe
from pretraining_gain.plan.run import WHOLE_POOL
from pretraining_gain.plan.studies import Study, load_study, study_names
from pretraining_gain.playground.choices import LARGEST_SEED, MOST_EPOCHS, Choice, missing_data, species_of, targets

_STYLE = {"description_width": "11rem"}
_WIDE = {"width": "min(100%, 36rem)"}


class Controls:
    """Study, target, start, k, seed, backbone, epochs, freezing, species. Call `on_change` once per change by the reader."""

    def __init__(self, start: Choice, on_change: Callable[[], None]) -> None:
        names = dict.fromkeys([*study_names(), start.study])
        labels = []
        for name in names:
            with suppress(InputError):  # cannot be loaded, as after other data were prepared: it is no reason to stop the others
                labels.append((f"{name} (not here)" if missing_data(load_study(name)) else name, name))
        self._on_change, self._setting = on_change, False
        self.study = _dropdown("Study", labels)
        self.target = _dropdown("Finetune on", [])
        self.pool = _dropdown("Pretrain on", [])
        self.k = _slider("How many classes (k)")
        self.seed = widgets.BoundedIntText(description="Seed", min=0, max=LARGEST_SEED, style=_STYLE, layout=_WIDE)
        self.backbone = _dropdown("Backbone", list(BACKBONES))
        self.epochs = _slider("Finetuning epochs")
        self.freeze = widgets.Checkbox(description="Freeze the backbone: only the head learns", style=_STYLE, layout=_WIDE)
        self.species = _dropdown("Show the gain on", [])
        self._set(start)
        self.study.observe(lambda _: self._changed(self._study_changed), "value")
        self.target.observe(lambda _: self._changed(self._target_changed), "value")
        self.pool.observe(lambda _: self._changed(self._pool_changed), "value")
        for control in (self.k, self.seed, self.backbone, self.epochs, self.freeze, self.species):
            control.observe(lambda _: self._changed(lambda: None), "value")

    @property
    def all(self) -> list[widgets.Widget]:
        """Return the widgets from top to bottom."""
        above = [self.study, self.target, self.pool, self.k, self.seed, self.backbone, self.epochs]
        return [*above, self.freeze, self.species]

    def choice(self) -> Choice:
        """Return the choice that the widgets show."""
        names = ("pool", "k", "seed", "backbone", "epochs", "species")
        values = {name: getattr(self, name).value for name in names}
        values |= {"study": self.study.value, "freeze_backbone": "yes" if self.freeze.value else "no"}
        return Choice(downstream=self.target.value, **values)

    def enable(self, enabled: bool) -> None:
        """Enable or disable all widgets; k stays disabled where only one size is possible."""
        for control in self.all:
            control.disabled = not enabled
        if enabled:
            self.k.disabled = self.k.min == self.k.max

    def _set(self, start: Choice) -> None:
        """Show the choice `start`. Raise `InputError` when it is impossible."""
        run = start.run()
        self.study.value = start.study
        self._study_changed()
        offered = targets(self._study)
        named = [target.name for target in offered if target.name == start.downstream]
        alike = [target.name for target in offered if target.images == run.target.images]
        self.target.value = (named or alike)[0]
        self._target_changed()
        self.pool.value = run.pool
        self._pool_changed()
        self.backbone.options = list(dict.fromkeys([*self.backbone.options, run.backbone]))
        self.k.value, self.seed.value, self.backbone.value = run.k, run.seed, run.backbone
        self.species.value = start.species
        self.epochs.value, self.freeze.value = run.recipe.epochs, run.recipe.freeze_backbone

    @property
    def _study(self) -> Study:
        return load_study(self.study.value)

    @property
    def _target(self) -> Downstream:
        return self._study.downstream(self.target.value)

    @property
    def _recipe(self) -> Recipe:
        return self._target.recipe.resolve(scratch=self.pool.value == SCRATCH)

    def _changed(self, follow: Callable[[], None]) -> None:
        """Update the other widgets, then call `on_change` once; changes made here do not start this again."""
        if self._setting:
            return
        self._setting = True
        try:
            follow()
        except InputError:
            pass  # a study file that was changed meanwhile; `choice` says what is wrong with it
        finally:
            self._setting = False
        self._on_change()

    def _study_changed(self) -> None:
        study, pool = self._study, self.pool.value
        self.target.options = [(target.title, target.name) for target in targets(study)]
        self.target.value = self.target.options[0][1]
        self.pool.options = [(start.label, name) for name, start in study.starts.items()]
        self.pool.value = pool if pool in study.starts else study.main_start
        self.backbone.options = list(dict.fromkeys([*BACKBONES, study.backbone]))
        self.backbone.value = study.backbone
        self._target_changed()
        self._pool_changed()

    def _target_changed(self) -> None:
        target, recipe = self._target, self._recipe
        _limit(self.epochs, 1, MOST_EPOCHS * recipe.epochs)
        self.epochs.value, self.freeze.value = recipe.epochs, recipe.freeze_backbone
        self.species.options = [("all species", ""), *((name, name) for name in species_of(target))]
        self.species.value = ""

    def _pool_changed(self) -> None:
        pool, study = self.pool.value, self._study
        fewest, most = POOLS[pool].sizes(study.source_classes) if pool in POOLS else (WHOLE_POOL, WHOLE_POOL)
        wanted = self.k.value
        _limit(self.k, fewest, most)
        self.k.value = wanted if fewest <= wanted <= most else most
        self.k.disabled = fewest == most
        if self.epochs.max != (most := MOST_EPOCHS * self._recipe.epochs):  # from scratch has epochs of its own
            _limit(self.epochs, 1, most)
            self.epochs.value = self._recipe.epochs


def _dropdown(description: str, options: list) -> widgets.Dropdown:
    return widgets.Dropdown(description=description, options=options, style=_STYLE, layout=_WIDE)


def _slider(description: str) -> widgets.IntSlider:
    return widgets.IntSlider(description=description, continuous_update=False, style=_STYLE, layout=_WIDE)


def _limit(slider: widgets.IntSlider, least: int, most: int) -> None:
    """Set both ends; the lower must never be above the upper in between."""
    slider.min = min(slider.min, least)
    slider.max = most
    slider.min = least
