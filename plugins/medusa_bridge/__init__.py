"""Every fact about Medusa, and nothing else."""

from plugins.medusa_bridge.admins import MedusaAdmins
from plugins.medusa_bridge.bridge import MedusaBridge
from plugins.medusa_bridge.config import BridgeConfig, Locking
from plugins.medusa_bridge.plugin import MedusaPlugin
from plugins.medusa_bridge.schema import SchemaMismatch
from plugins.medusa_bridge.storefront import MedusaStorefront

__all__ = [
    "BridgeConfig",
    "Locking",
    "MedusaAdmins",
    "MedusaBridge",
    "MedusaPlugin",
    "MedusaStorefront",
    "SchemaMismatch",
]
