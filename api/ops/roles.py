"""Roles: which there are, and what they carry."""

from collections.abc import Mapping
from typing import Any

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import RoleId, RoleName
from app import may, roles


@operation("GET", "/roles", may=(may.System("manage_system"),), answers=list[shapes.Role], notes="administrators")
async def get_roles(_call: Call) -> list[Mapping[str, Any]]:
    """All roles."""
    return list(roles.ALL.values())


@operation(
    "POST",
    "/roles/names",
    answers=list[shapes.Role],
    body_name="rolenames",
    errors=("api.roles.get_multiple_by_name_too_many.request_error",),
    example=Example(["system_user", "channel_user"]),
    notes="at most 100 names; those that nothing has are left out",
)
async def get_roles_by_names(_call: Call, body: list[str]) -> list[Mapping[str, Any]]:
    """Roles by name."""
    return roles.by_names(body)


@operation(
    "GET",
    "/roles/name/{role_name}",
    answers=shapes.Role,
    errors=("app.role.get_by_name.app_error",),
)
async def get_role_by_name(_call: Call, role_name: RoleName) -> Mapping[str, Any]:
    """A role by name."""
    return roles.by_name(role_name)


@operation(
    "GET",
    "/roles/{role_id}",
    answers=shapes.Role,
    errors=("app.role.get.app_error",),
)
async def get_role(_call: Call, role_id: RoleId) -> Mapping[str, Any]:
    """A role."""
    return roles.by_id(role_id)
