// A storefront's page about one order, as small as can be: whatever it needs to know stands in its address.
import Medusa from "@medusajs/js-sdk"
import { cancelButton } from "./cancel-button.js"

const told = new URLSearchParams(location.search)
const sdk = new Medusa({ baseUrl: told.get("backend"), publishableKey: told.get("key") })
cancelButton(sdk, document.querySelector("#cancel"), told.get("order"), told.get("token"))
