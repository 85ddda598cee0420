"""``catalog``: what is offered, and the tools of those who write offerings.

``generate`` and ``lint`` need no server.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from isthmus.api.meta import API_VERSION, Json
from isthmus.api.v1alpha1 import Offering, OfferingSpec
from isthmus.core import lint, prices, samples, schemas
from isthmus.core.catalog import plan_of, usual
from isthmus.errors import InvalidSpec
from isthmus.faces.cli import common, completion, manifests
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.manifests import Manifest
from isthmus.faces.cli.objects import condition, items, part, text
from isthmus.faces.cli.output import Output, columns, dump, note, say, structured
from isthmus.faces.cli.write import apply_one
from isthmus.faces.hooks import Hooks
from isthmus.ports import Api, Finding

OFFERINGS = Api(API_VERSION, "offerings", namespaced=False)
_TEMPLATE = "spec.stacks.{driver}.template"

Paths = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="Files or folders; - is stdin.")
]


@common.verb
async def list_offerings(
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """List what can be ordered."""
    async with common.connect(kubeconfig, context, "") as client:
        found = await client.list(OFFERINGS)
    if structured(output):
        dump(found, output)
        return
    if not found:
        note("the catalog is empty; `isthmus catalog install FILE` adds to it")
        return
    rows = [
        (
            text(one, "metadata.name"),
            text(one, "spec.title"),
            text(one, "spec.category"),
            ",".join(text(plan, "name") for plan in items(one, "spec.plans")),
            ",".join(sorted(part(one, "spec.stacks"))),
            condition(one, "Ready").get("status", "Unknown"),
        )
        for one in found
    ]
    columns(("NAME", "TITLE", "CATEGORY", "PLANS", "DRIVERS", "READY"), rows)


@common.verb
async def show(
    name: Annotated[str, typer.Argument(help="Offering.", autocompletion=completion.offerings)],
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Show plans, parameters, prices, keys and actions of an offering."""
    async with common.connect(kubeconfig, context, "") as client:
        obj = await client.get(OFFERINGS, "", name)
    if structured(output):
        dump(obj, output)
    else:
        _show(name, Offering.parse(obj).spec)


def _show(name: str, spec: OfferingSpec) -> None:
    reviewed = "" if spec.reviewed else "  (generated, not reviewed)"
    say(f"{name}: {spec.title}{reviewed}")
    say(spec.description)
    say("\nPlans:")
    plans = [
        (plan.name, plan.title, _price(spec, plan.name), plan.description) for plan in spec.plans
    ]
    columns(("NAME", "TITLE", "PER HOUR", "DESCRIPTION"), plans)
    say("\nParameters:")
    head = ("NAME", "TYPE", "DEFAULT", "UPDATABLE", "TITLE")
    columns(head, [_parameter(*one) for one in schemas.properties(spec.parameters).items()])
    if spec.binding is not None:
        keys = ["type", "provider", "region", *spec.binding.keys]
        say(f"\nBinding Secret (type {spec.binding.type}): {', '.join(keys)}")
        for driver, stack in spec.stacks.items():
            ways = ", ".join(template.strategy for template in stack.credentials)
            say(f"Credentials on {driver}: {ways or 'none'}")
    if spec.actions:
        say("\nActions:")
        columns(("NAME", "TITLE"), [(action.name, action.title) for action in spec.actions])


def _parameter(name: str, schema: Json) -> tuple[object, ...]:
    kind = "secret" if schema.get("writeOnly") else schema.get("type", "any")
    return name, kind, schema.get("default"), schema.get(schemas.UPDATABLE), schema.get("title")


def _price(spec: OfferingSpec, plan: str) -> str:
    """Return the list price of a plan as it is, at the first place that has one."""
    values = usual(spec, plan_of(spec, plan))
    for one in spec.prices:
        estimate = prices.estimate(spec, plan, values, (one.driver, one.region))
        if estimate is not None and estimate.per_hour is not None:
            return f"{estimate.per_hour} {estimate.currency} ({estimate.region})"
    return "unknown"


@common.verb
async def install(
    files: Paths,
    force: Annotated[
        bool, typer.Option("--force", help="Also over edits that somebody made on the server.")
    ] = False,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Add offerings to the catalog of the server, or update them."""
    found = [_offering(one) for one in manifests.read(files)]
    async with common.connect(kubeconfig, context, "") as client:
        for manifest in found:
            await apply_one(client, manifest, force=force)


def _offering(manifest: Manifest) -> Manifest:
    if manifest.kind != Offering.names.kind:
        place = manifest.place("kind")
        raise CommandFailed(f"{place}: kind: must be Offering, not {manifest.kind}", Exit.INVALID)
    return manifest


def commands(hooks: Hooks) -> typer.Typer:
    """Return the sub-command with all its verbs."""
    app = typer.Typer(no_args_is_help=True, help="What is offered, and tools to write offerings.")
    app.command("list")(list_offerings)
    app.command("show")(show)
    app.command("install")(install)

    @app.command("lint")
    def lint_files(files: Paths, output: common.OutputOption = Output.TABLE) -> None:
        """Check offering files; each finding names file, line and field."""
        common.guarded(lambda: _lint(hooks, files, output))

    @app.command("generate")
    def generate(
        native_type: Annotated[
            str, typer.Argument(metavar="TYPE", help="For example AWS::SNS::Topic.")
        ],
        driver: Annotated[
            str, typer.Option("--driver", help="Driver that knows the type.")
        ] = "aws",
        target: Annotated[
            str,
            typer.Option("--output-file", "-o", help="File to write; without it, the terminal."),
        ] = "",
    ) -> None:
        """Write an unreviewed offering for any native resource type."""
        common.guarded(lambda: _generate(hooks, native_type, driver, target))

    return app


def _generate(hooks: Hooks, native_type: str, driver: str, target: str) -> None:
    make = hooks.load_driver(driver).generate
    if make is None:
        raise CommandFailed(f"--driver: {driver} cannot generate offerings", Exit.USAGE)
    content = yaml.safe_dump(make(native_type), sort_keys=False, width=100)
    if not target:
        say(content.rstrip())
        return
    file = Path(target)
    if file.exists():
        raise CommandFailed(f"--output-file: {file} exists already; remove it first", Exit.CONFLICT)
    file.write_text(content)
    note(f"{file} written; review it, set `reviewed: true`, then: isthmus catalog install {file}")


def _lint(hooks: Hooks, files: list[str], output: Output) -> None:
    found = [
        (manifest, finding)
        for manifest in manifests.read(files)
        for finding in findings(hooks, manifest.body)
    ]
    if structured(output):
        dump([_as_json(*one) for one in found], output)
    else:
        for manifest, finding in found:
            rule = f" [{finding.rule}]" if finding.rule else ""
            say(f"{manifest.place(finding.path)}: {finding.path}: {finding.message}{rule}")
    if found:
        raise CommandFailed(f"{len(found)} findings", Exit.INVALID)
    note("nothing to complain about")


def _as_json(manifest: Manifest, finding: Finding) -> Json:
    place: dict[str, Any] = {"place": manifest.place(finding.path), "path": finding.path}
    return place | {"message": finding.message, "rule": finding.rule}


def findings(hooks: Hooks, body: Json) -> Iterator[Finding]:
    """Yield what is wrong with an offering, then with each of its templates, plan by plan."""
    yield from lint.lint(body)
    try:
        spec = Offering.parse(body).spec
    except (RecursionError, TypeError, ValueError):
        return  # ``lint`` has said so.
    for driver in spec.stacks:
        try:
            check = hooks.load_driver(driver).lint
        except InvalidSpec as exc:
            yield Finding(path=f"spec.stacks.{driver}", message=exc.message, rule="driver")
            continue
        found = (f for t in samples.rendered(spec, driver) for f in (check(t) if check else ()))
        yield from _placed(found, _TEMPLATE.format(driver=driver))


def _placed(found: Iterable[Finding], path: str) -> Iterator[Finding]:
    """Put the template's place before each path; what several plans share is said once."""
    for finding in dict.fromkeys(found):
        if not samples.undecided(finding.message):
            inner = f"{path}.{finding.path}" if finding.path else path
            yield Finding(path=inner, message=finding.message, rule=finding.rule)
