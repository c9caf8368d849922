"""Every fact about Medusa, and nothing else."""

from plugins.medusa_bridge.admins import MedusaAdmins
from plugins.medusa_bridge.backend import try_backend
from plugins.medusa_bridge.bridge import MedusaBridge
from plugins.medusa_bridge.config import BridgeConfig, Locking
from plugins.medusa_bridge.customers import CustomerSessions, CustomerTokens
from plugins.medusa_bridge.grants import READ, check_shop, earlier_rights, needed_rights
from plugins.medusa_bridge.releases import NoShop
from plugins.medusa_bridge.schema import SchemaMismatch
from plugins.medusa_bridge.storefront import KEY_PROBLEMS, MedusaStorefront

__all__ = [
    "KEY_PROBLEMS",
    "READ",
    "BridgeConfig",
    "CustomerSessions",
    "CustomerTokens",
    "Locking",
    "MedusaAdmins",
    "MedusaBridge",
    "MedusaStorefront",
    "NoShop",
    "SchemaMismatch",
    "check_shop",
    "earlier_rights",
    "needed_rights",
    "try_backend",
]
