"""`python -m pretraining_gain.plan STUDY`: print the runs of a study and their price; nothing is run."""

import sys

from pretraining_gain.commands import about_a_study
from pretraining_gain.plan.costs import Plan


def main(name: str) -> None:
    from pretraining_gain.tell.software.price import figure_table  # loads all figures

    plan = Plan.of(name)
    print(f"Study {plan.study.name}: {plan.study.title}\n\n{plan.recipes().to_string()}\n")
    print(plan.run_table().to_string(index=False, float_format="{:.2f}".format))
    print(f"\n{plan.table().to_string(float_format='{:.2f}'.format)}\n")
    print(f"{figure_table(plan).to_string(float_format='{:.2f}'.format)}\n")
    print(f"{plan.disk_table().to_string(float_format='{:.2f}'.format)}\n")
    totals = plan.numbers()
    print(
        f"{totals['n_runs']} runs, {totals['images_seen']:,} images, {totals['device_hours']:,.1f} hours of {totals['device']}"
        f" at {totals['images_per_s']:g} training images/s ({totals['throughput_source']})."
    )


if __name__ == "__main__":
    sys.exit(about_a_study("plan", __doc__ or "", main, default="toy"))
