"""Every fact about Medusa, and nothing else."""

from plugins.medusa_bridge.admins import MedusaAdmins
from plugins.medusa_bridge.backend import backend_problem
from plugins.medusa_bridge.bridge import MedusaBridge
from plugins.medusa_bridge.config import BridgeConfig, Locking
from plugins.medusa_bridge.customers import CustomerSessions, CustomerTokens
from plugins.medusa_bridge.functions import FUNCTIONS
from plugins.medusa_bridge.grants import READ, NoShop, check_shop, grant_role, print_grants
from plugins.medusa_bridge.plugin import MedusaPlugin
from plugins.medusa_bridge.schema import SchemaMismatch
from plugins.medusa_bridge.storefront import KEY_PROBLEMS, MedusaStorefront

__all__ = [
    "FUNCTIONS",
    "KEY_PROBLEMS",
    "READ",
    "BridgeConfig",
    "CustomerSessions",
    "CustomerTokens",
    "Locking",
    "MedusaAdmins",
    "MedusaBridge",
    "MedusaPlugin",
    "MedusaStorefront",
    "NoShop",
    "SchemaMismatch",
    "backend_problem",
    "check_shop",
    "grant_role",
    "print_grants",
]
