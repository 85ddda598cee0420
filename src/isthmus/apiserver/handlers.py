"""From a path and a method to the right read or write, with the caller's rights checked first.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from typing import Any, cast

import orjson

from isthmus.apiserver import http, listing, ownership, parameters, patch, reviews, scale, selectors
from isthmus.apiserver.admission import Options, Result
from isthmus.apiserver.applied import applied_configuration
from isthmus.apiserver.authn import AUTHENTICATED
from isthmus.apiserver.config import Limits
from isthmus.apiserver.errors import (
    ApiError,
    bad_request,
    conflict,
    method_not_allowed,
    not_found,
    not_supported,
    unknown_path,
)
from isthmus.apiserver.history import Record
from isthmus.apiserver.http import Request, Response
from isthmus.apiserver.http import load as load_body
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.listing import View, Wanted, view_of
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.parameters import DeleteOptions
from isthmus.apiserver.preconditions import check_preconditions
from isthmus.apiserver.rbac import Action, Authorizer
from isthmus.apiserver.resources import Registry, Resource, subresource_verbs
from isthmus.apiserver.reviews import Reviews
from isthmus.apiserver.service_accounts import ServiceAccountTokens
from isthmus.apiserver.store import Store
from isthmus.apiserver.targets import Target
from isthmus.apiserver.watching import Watch

_PATCHES = ("application/json-patch+json", "application/merge-patch+json",
            "application/strategic-merge-patch+json", "application/apply-patch+yaml")  # fmt: skip
_AT_ONCE = 500
"""Objects of a collection that are deleted between two turns of others."""
_OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}


class Handlers:
    """Every request on resources.

    Args:
        store: The store.
        registry: What is served.
        objects: The write side.
        authorizer: Knows the rights.
        reviewer: Answers questions about rights.
        accounts: Makes tokens of ServiceAccounts.
        limits: Bounds.
    """

    def __init__(  # noqa: PLR0913 - it is where the parts come together
        self,
        store: Store,
        registry: Registry,
        objects: Objects,
        authorizer: Authorizer,
        reviewer: Reviews,
        accounts: ServiceAccountTokens,
        limits: Limits,
    ) -> None:
        self._store = store
        self._registry = registry
        self._objects = objects
        self._authorizer = authorizer
        self._reviewer = reviewer
        self._accounts = accounts
        self._limits = limits

    async def answer(self, request: Request, target: Target, verb: str) -> Response | Watch:
        """Carry a request out.

        Raises:
            ApiError: It is refused.
        """
        review = reviews.find(target.group, target.version, target.plural)
        if review is not None:
            if verb != "create":
                raise method_not_allowed()
            return await self._review(request, target, review)
        # Rights come first: who may not see a resource does not learn whether it exists.
        name = target.name
        if not name and verb in ("list", "watch", "deletecollection"):
            name = selectors.only_name(request.query.get("fieldSelector", ""))
        action = Action(verb, target.group, target.full, target.home, name)
        self._authorizer.require(request.user, action)
        resource = await self._resource(request, target, verb)
        if request.method == "HEAD" and not (resource.custom and verb in ("get", "list")):
            raise method_not_allowed()  # Only of custom kinds Kubernetes tells the head alone.
        form = http.form_of(request.header(b"accept"))
        if form and verb == "watch":
            raise http.not_acceptable(";stream=watch")
        try:
            response = await self._carry_out(request, resource, target, verb)
        except ApiError as error:
            if resource.warning:
                error.warnings.insert(0, resource.warning)
            raise
        if form and isinstance(response, Response):
            response = await response.in_yaml()
        if resource.warning:
            response.warnings.insert(0, resource.warning)
        return response

    async def _resource(self, request: Request, target: Target, verb: str) -> Resource:
        """What a request is about, with all there that has to be waited for.

        What is looked up here may be defined otherwise after the next wait. So a write has its body
        before, and a list the objects as the definition shows them.
        """
        while True:
            resource = self._registry.get(target.group, target.version, target.plural)
            self._check_target(resource, target, verb)
            if request.method not in ("GET", "HEAD"):
                await request.body()
            if resource.custom and verb in ("list", "watch", "deletecollection"):
                await self._store.collection(resource.collection).reread()
            found = self._registry.get(target.group, target.version, target.plural)
            if found is resource:
                return resource

    async def _carry_out(
        self, request: Request, resource: Resource, target: Target, verb: str
    ) -> Response | Watch:
        if verb == "get":
            self._check_version(request)
            return self._get(request, resource, target)
        if verb in ("list", "watch"):
            return self._list(request, resource, target, watch=verb == "watch")
        if target.subresource == "token":
            return await self._token(request, resource, target)
        return await self._write(request, resource, target, verb)

    def _check_target(self, resource: Resource, target: Target, verb: str) -> None:
        if target.subresource and target.subresource not in resource.subresources:
            raise not_found(resource, target.name) if resource.custom else unknown_path()
        if target.namespace and not resource.namespaced:
            raise unknown_path()
        if resource.namespaced and not target.namespace and verb not in ("list", "watch"):
            raise unknown_path() if resource.custom or target.name else method_not_allowed()
        if verb not in (subresource_verbs(target.subresource) or resource.verbs):
            raise not_supported(resource, verb) if resource.custom else method_not_allowed()

    async def _review(self, request: Request, target: Target, review: reviews.Review) -> Response:
        known = AUTHENTICATED in request.user.groups
        if target.plural not in reviews.SELF_SERVICE or not known:
            action = Action("create", target.group, target.plural, target.namespace)
            self._authorizer.require(request.user, action)
        asked = await request.object()
        return Response.json(
            await self._reviewer.answer(review, asked, request.user, target.namespace), 201
        )

    async def _token(self, request: Request, resource: Resource, target: Target) -> Response:
        record = self._record(resource, target)
        asked = await request.object()
        wanted = as_map(asked.get("spec")).get("expirationSeconds")
        issued = self._accounts.issue(target.namespace, target.name, record.uid, asked)
        response = Response.json(issued, 201)
        given: int = issued["spec"]["expirationSeconds"]
        if wanted and wanted > given:
            why = f"requested expiration of {wanted} seconds shortened to {given} seconds"
            response.warnings.append(why)
        return response

    # --- reads ---------------------------------------------------------------------------------

    def _view(self, request: Request, *, many: bool | None = False) -> View:
        include = request.query.get("includeObject", "")
        return view_of(request.header(b"accept"), include, many=many)

    def _record(self, resource: Resource, target: Target) -> Record:
        """The committed object.

        Raises:
            ApiError: 404.
        """
        collection = self._store.collection(resource.collection)
        record = collection.committed((target.namespace, target.name))
        if record is None:
            raise not_found(resource, target.name)
        return record

    def _check_version(self, request: Request) -> None:
        """A read is always of now; it only must not be older than what the caller has seen."""
        if "resourceVersion" in request.query:
            listing.wanted_version(request.query, self._store.version)

    def _get(self, request: Request, resource: Resource, target: Target) -> Response:
        record = self._record(resource, target)
        if target.subresource == "scale":
            return Response.json(scale.read(resource, resource.opened(record.body)))
        return Response(self._view(request).one(resource, record.body))

    def _wanted(self, request: Request, resource: Resource, target: Target, view: View) -> Wanted:
        query = request.query
        fields = query.get("fieldSelector", "")
        if target.name:
            fields = f"metadata.name={target.name}"
        selection = selectors.parse(resource, query.get("labelSelector", ""), fields)
        return Wanted(resource, target.namespace or None, selection, view)

    def _list(
        self, request: Request, resource: Resource, target: Target, *, watch: bool
    ) -> Response | Watch:
        view = self._view(request, many=None if watch else True)
        wanted = self._wanted(request, resource, target, view)
        parameters.check_read(request.query, watch=watch)
        if watch:
            return Watch(self._store, wanted, request, self._limits.bookmark_seconds)
        found = listing.page(self._store, wanted, request.query, request.number("limit"))
        return Response(wanted.view.many(resource, found))

    # --- writes --------------------------------------------------------------------------------

    def _options(self, request: Request, target: Target) -> Options:
        query = request.query
        if query:
            parameters.check_write(query, _OPTIONS[request.method])
        manager = query.get("fieldManager") or request.header(b"user-agent").split("/")[0]
        return Options(
            request.user,
            (manager or request.user.name)[:128],
            bool(query.get("dryRun")),
            query.get("fieldValidation") or "Warn",
            target.subresource,
            patched=request.method == "PATCH",
        )

    async def _write(
        self, request: Request, resource: Resource, target: Target, verb: str
    ) -> Response:
        view = self._view(request)
        if verb in ("delete", "deletecollection"):
            return await self._delete(request, resource, target, view)
        options = self._options(request, target)
        if verb in ("create", "update"):
            obj = await request.object()
            if request.duplicates:
                options = options._replace(duplicates=request.duplicates)
            if verb == "create":
                result = self._objects.create(resource, target.namespace, obj, options)
            else:
                result = self._replace(resource, target, obj, options)
        else:
            result = await self._patch(request, resource, target, options)
        if not options.dry_run:
            await self._store.commit()
        code = 201 if result.created else 200
        if target.subresource == "scale":
            body = orjson.dumps(scale.read(resource, resource.opened(result.body)))
        else:
            body = view.one(resource, result.body)
        return Response(body, code, warnings=result.warnings)

    def _replace(self, resource: Resource, target: Target, obj: Json, options: Options) -> Result:
        """An update; of what is not there, a creation for the kinds that allow it."""
        key = (target.namespace, target.name)
        if resource.upsert and self._store.collection(resource.collection).current(key) is None:
            action = Action("create", resource.group, resource.plural, target.namespace)
            self._authorizer.require(options.user, action)
            as_map(obj.setdefault("metadata", {})).setdefault("name", target.name)
            return self._objects.create(resource, target.namespace, obj, options)
        record = self._objects.current(resource, target.namespace, target.name)
        return self._update(resource, record, obj, options)

    def _update(self, resource: Resource, record: Record, obj: Json, options: Options) -> Result:
        if options.subresource == "scale":
            obj = scale.write(resource, orjson.loads(resource.serve(record.body)), obj)
        return self._objects.update(resource, record, obj, options)

    async def _patch(
        self, request: Request, resource: Resource, target: Target, options: Options
    ) -> Result:
        kind = request.header(b"content-type").split(";")[0].strip()
        body = await request.body()
        if kind in ("application/apply-patch+yaml", "application/apply-patch+cbor"):
            return self._apply(request, resource, target, options, body)
        parameters.refuse_force(request.query)
        record = self._objects.current(resource, target.namespace, target.name)
        stored: Json = orjson.loads(resource.serve(record.body))
        current = scale.read(resource, stored) if target.subresource == "scale" else stored
        change = patch.load(body, self._limits.nesting)
        if twice := http.duplicates(body, change):
            options = options._replace(duplicates=twice)
        changed = self._patched(resource, kind, current, change)
        if not isinstance(changed, dict):
            raise bad_request("the patch would make the object no object")
        patched = cast("Json", changed)
        return self._update(resource, record, patched, options)

    def _patched(self, resource: Resource, kind: str, current: Json, change: Any) -> Any:
        if kind == "application/json-patch+json":
            changed = patch.json_patch(current, change)
            http.check_nesting(changed, self._limits.nesting)  # many small steps may go deep
            return changed
        if not isinstance(change, dict):
            raise patch.undecodable(change, "map[string]interface {}")
        if kind == "application/merge-patch+json":
            return patch.merge_patch(current, change)
        if kind == "application/strategic-merge-patch+json" and not resource.custom:
            return patch.strategic_patch(current, cast("Json", change))
        served = _PATCHES if not resource.custom else (*_PATCHES[:2], _PATCHES[3])
        raise ApiError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(served),
        )

    def _apply(
        self, request: Request, resource: Resource, target: Target, options: Options, body: bytes
    ) -> Result:
        parameters.need_manager(request.query)
        value = load_body(body, self._limits.nesting, yaml=True)
        wanted = applied_configuration(resource, target, value)
        collection = self._store.collection(resource.collection)
        record = collection.current((target.namespace, target.name))
        writer = self._objects.writer(resource, options)
        schema = resource.schema.merging
        if record is None:
            if target.subresource:
                raise not_found(resource, target.name)
            if wanted["metadata"].get("uid"):
                uid = wanted["metadata"]["uid"]
                why = f"the provided object specified uid {uid}, and no existing object was found"
                raise conflict(resource, target.name, f"uid mismatch: {why}")
            self._authorizer.require(
                request.user,
                Action("create", resource.group, resource.plural, target.namespace),
            )
            merged, managers = ownership.apply({}, wanted, schema, [], writer, force=True)
            merged["metadata"].setdefault("name", target.name)
            merged["metadata"].pop("resourceVersion", None)
            return self._objects.create(resource, target.namespace, merged, options, managers)
        live: Json = orjson.loads(resource.serve(record.body))
        managers = resource.known(as_list(live["metadata"].pop("managedFields", None)))
        asked = wanted["metadata"].pop("resourceVersion", None)
        if asked and asked != str(record.version):
            raise conflict(resource, target.name)
        force = request.flag("force")
        merged, managers = ownership.apply(live, wanted, schema, managers, writer, force=force)
        return self._objects.update(resource, record, merged, options, managers)

    # --- deletion ------------------------------------------------------------------------------

    async def _delete(
        self, request: Request, resource: Resource, target: Target, view: View
    ) -> Response:
        body = await request.body()
        options = parameters.delete_options(request.decode(body) if body else None, request.query)
        if not target.name:
            return await self._delete_collection(request, resource, target, options)
        record = self._objects.current(resource, target.namespace, target.name)
        check_preconditions(resource, record, options.preconditions)
        result = self._objects.delete(resource, record, options.policy, dry_run=options.dry_run)
        await self._store.commit()
        if not result.deleted:
            return Response(view.one(resource, result.body), 202 if options.told_later else 200)
        return Response.json({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {
                "name": target.name,
                **({"group": resource.group} if resource.group else {}),
                "kind": resource.plural,
                "uid": record.uid,
            },
        })  # fmt: skip

    async def _delete_collection(
        self, request: Request, resource: Resource, target: Target, options: DeleteOptions
    ) -> Response:
        wanted = self._wanted(request, resource, target, View())
        found = listing.page(self._store, wanted, request.query, request.number("limit"))
        collection = self._store.collection(resource.collection)
        leaving = [r for r in map(collection.current, (r.key for r in found.records)) if r]
        for record in leaving:  # all are looked at before the first goes
            check_preconditions(resource, record, options.preconditions)
        for start in range(0, len(leaving), _AT_ONCE):
            for record in leaving[start : start + _AT_ONCE]:
                now = collection.current(record.key)
                if now is not None and now.uid == record.uid:
                    self._objects.delete(resource, now, options.policy, dry_run=options.dry_run)
            await self._store.commit()
        return Response(wanted.view.many(resource, found))
