"""The command `recgen`: one subcommand a job, each importing what it needs when it runs."""

import click

from rec_gen.cli.agents import mcp, schema
from rec_gen.cli.batch import batch
from rec_gen.cli.benchmarking import benchmark
from rec_gen.cli.chat import chat
from rec_gen.cli.common import Command
from rec_gen.cli.curves import curves
from rec_gen.cli.evaluation import evaluate
from rec_gen.cli.experiments import experiment
from rec_gen.cli.fairness import fairness
from rec_gen.cli.federating import federate
from rec_gen.cli.forgetting import forget
from rec_gen.cli.mixing import mix
from rec_gen.cli.preparation import prepare
from rec_gen.cli.prompts import prompts
from rec_gen.cli.recommendation import recommend
from rec_gen.cli.reporting import report
from rec_gen.cli.screening import screen
from rec_gen.cli.serving import keys, serve
from rec_gen.cli.training import compress, quickstart, refine, train
from rec_gen.cli.weighing import weigh


class _Group(Command, click.Group):
    pass


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rec_gen", prog_name="recgen")
def main() -> None:
    """Recommendations written by a language model, every one an item of your catalog.

    \b
    recgen quickstart                          see it work on MovieLens-100K
    recgen prepare movielens-100k              fetch, check and split a data set
    recgen screen data/shop                    look for attacks in a data set
    recgen train quickstart                    fine-tune a model
    recgen weigh industrial                    choose weights of item vectors
    recgen curves runs/quickstart              see how the training went
    recgen federate my.toml                    train where the data lives
    recgen refine runs/quickstart/bundle --method dpo
    recgen compress runs/quickstart/bundle --weights int8
    recgen recommend runs/quickstart/bundle --history 50,172
    recgen mix runs/domains/bundle --quota movielens-1m=6 --quota minionerec-industrial=4
    recgen chat runs/opendialkg/bundle         talk about what to recommend
    recgen evaluate runs/quickstart/bundle     compare it with counted baselines
    recgen fairness runs/quickstart/bundle     give rare items a stated amount of exposure
    recgen report result.json runs/quickstart  look at results and runs on one page
    recgen serve runs/quickstart/bundle        answer over HTTP
    recgen batch runs/quickstart/bundle users.parquet out
    recgen mcp runs/quickstart/bundle          be a tool of agents
    recgen forget u42 --data data/shop         remove a user, and say what is left
    recgen benchmark quickstart                train some seeds and measure them
    recgen prompts experiment my.toml          find out which prompt is better
    """


for command in (
    prepare,
    screen,
    train,
    weigh,
    curves,
    refine,
    compress,
    federate,
    recommend,
    mix,
    chat,
    serve,
    batch,
    mcp,
    schema,
    keys,
    forget,
    evaluate,
    fairness,
    report,
    benchmark,
    quickstart,
    prompts,
):
    main.add_command(command)
prompts.add_command(experiment)
