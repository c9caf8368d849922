import { defineWidgetConfig } from "@medusajs/admin-sdk"
import type { AdminOrder, DetailWidgetProps } from "@medusajs/types"
import { Container, Heading, StatusBadge, Text } from "@medusajs/ui"
import { useEffect, useState } from "react"
import { askGrace, pageOf, type Grace, type Incident } from "../grace"

const PAYMENT = {
  voided: { color: "green", badge: "Hold let go", text: "The shopper's money is free again." },
  void_pending: { color: "orange", badge: "Void pending", text: "Stripe has not answered yet. It is tried on." },
  void_failed: { color: "red", badge: "Void failed", text: "The hold is still on the shopper's card." },
  none: { color: "grey", badge: "Nothing held", text: "There was no hold to let go." },
} as const

const KINDS: Record<string, string> = {
  void_failed: "The hold could not be let go",
  late_money: "Money was captured on a canceled order",
  refund_failed: "The refund did not go through",
  capture_failed: "The money could not be captured",
  authorization_lost: "The hold is gone",
  partial_capture: "Captured in part",
  over_captured: "Captured too much",
  payment_shared: "Its payment is shared with an open order",
  fulfilled: "Canceled while it was packed",
  unsupported_provider: "A payment provider that medusa-grace does not know",
  release_failed: "Stock is still reserved",
  look_failed: "Stripe could not be asked",
  publish_failed: "Medusa's subscribers were not told",
}

type Seen = { orderId: string; grace?: Grace; trouble?: string }

const OrderCancellation = ({ data: order }: DetailWidgetProps<AdminOrder>) => {
  const [seen, setSeen] = useState<Seen>()

  // Asked again when Medusa's own page learns something new about the order.
  useEffect(() => {
    const leaving = new AbortController()
    askGrace(order.id, leaving.signal)
      .then((grace) => setSeen({ orderId: order.id, grace }))
      .catch((error: Error) => leaving.signal.aborted || setSeen({ orderId: order.id, trouble: error.message }))
    return () => leaving.abort()
  }, [order.id, order.status, order.payment_status, order.fulfillment_status])

  const { grace, trouble } = seen?.orderId === order.id ? seen : {} // the page may have moved on to another order
  if (trouble) {
    return (
      <Container className="px-6 py-3" data-testid="medusa-grace">
        <Text size="small" className="text-ui-fg-muted">{trouble}</Text>
      </Container>
    )
  }
  if (!grace || (!grace.canceled && grace.incidents.length === 0)) {
    return null // most orders: nothing to tell, so nothing in the way
  }
  return (
    <Container className="divide-y p-0" data-testid="medusa-grace">
      <div className="flex items-center justify-between px-6 py-4">
        <Heading level="h2">{grace.canceled ? "Cancellation" : "Grace period"}</Heading>
        <a className="text-ui-fg-interactive txt-small -my-2 py-2" href={pageOf(grace)} target="_blank" rel="noreferrer">
          Open in medusa-grace
        </a>
      </div>
      {grace.incidents.map((incident) => (
        <IncidentRow key={incident.kind + incident.opened_at} incident={incident} />
      ))}
      {grace.canceled && <CancellationRows grace={grace} />}
    </Container>
  )
}

const CancellationRows = ({ grace }: { grace: Grace }) => {
  const payment = PAYMENT[grace.payment_action as keyof typeof PAYMENT]
  return (
    <>
      <Row label="Payment">
        <StatusBadge color={payment?.color ?? "grey"}>{payment?.badge ?? grace.payment_action}</StatusBadge>
        {payment && <Text size="small" className="text-ui-fg-subtle mt-1">{payment.text}</Text>}
      </Row>
      {grace.canceled_at && <Row label="Canceled">{atHome(grace.canceled_at)}</Row>}
      {grace.canceled_by && <Row label="By">{grace.canceled_by}</Row>}
      {grace.reason && <Row label="Reason">{grace.reason}</Row>}
    </>
  )
}

const IncidentRow = ({ incident }: { incident: Incident }) => (
  <div className="flex flex-col gap-y-1 px-6 py-4" role="alert">
    <StatusBadge color="red">Open incident</StatusBadge>
    <Text size="small" weight="plus" leading="compact" className="mt-1">
      {KINDS[incident.kind] ?? incident.kind}
    </Text>
    <Text size="small" className="text-ui-fg-subtle break-words">{incident.detail}</Text>
    <Text size="small" className="break-words">{incident.what_to_do}</Text>
    <Text size="xsmall" className="text-ui-fg-muted">since {atHome(incident.opened_at)}</Text>
  </div>
)

const Row = ({ label, children }: { label: string; children: React.ReactNode }) => (
  <div className="text-ui-fg-subtle grid grid-cols-2 items-start px-6 py-4">
    <Text size="small" weight="plus" leading="compact">{label}</Text>
    <Text as="div" size="small" leading="compact" className="break-words">{children}</Text>
  </div>
)

const atHome = (instant: string) =>
  new Date(instant).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })

// Since 2.21 Medusa ignores "before" and puts widgets below its own sections, until somebody moves them up, which it keeps by
// this file's path: the id that would serve for it is unknown to releases before.
export const config = defineWidgetConfig({ zone: "order.details.side.before" })

export default OrderCancellation
