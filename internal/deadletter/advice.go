package deadletter

import "fnobridge/internal/failure"

// advice says, for every reason, what an operator does about it. Total over failure.Reasons, kept so by a test.
var advice = map[failure.Reason]string{
	failure.NoRoute:           "Add a route for this entity and company to bridge.yaml (or correct the message's entity, company or session), restart the bridge, then resubmit.",
	failure.BadMessage:        "A property of the message has a wrong type or value. Correct the producer; send the file again, or purge it.",
	failure.EmptyBody:         "The message has neither a body nor a dataref. Resubmit it with --edit FILE, or let the producer send it again.",
	failure.PayloadTooLarge:   "The file is larger than the route's maxSize or than F&O takes. Split it or raise maxSize, then let the producer send it again.",
	failure.PackageInvalid:    "The data package is broken: it must be a zip with Manifest.xml, PackageHeader.xml and the data file at its root. Repair it and resubmit with --edit FILE.",
	failure.ClaimCheckRefused: "The dataref points outside the containers of the route. Correct the producer, or add the container to the route's claimCheck, then resubmit.",
	failure.ClaimCheckMissing: "The blob of the dataref does not exist (any more). Put it back and resubmit, or let the producer send the file again.",
	failure.ChecksumMismatch:  "The payload is not what the producer hashed: it was changed or cut on its way. Let the producer send it again.",

	failure.Throttled:         "F&O was busy for longer than the route's retries last. Resubmit at a quiet hour; raise retry.total if this repeats.",
	failure.Unavailable:       "F&O was unavailable for longer than the route's retries last (maintenance?). Resubmit when it is back.",
	failure.ServerError:       "F&O answered with a server error each time. Look into its event log at the time of the last attempt, then resubmit.",
	failure.BadGateway:        "The gateway in front of F&O failed each time. Resubmit; if it repeats, check the environment in Lifecycle Services.",
	failure.GatewayTimeout:    "F&O did not answer its gateway in time. Check whether the file arrived in F&O before you resubmit; smaller files help.",
	failure.BadRequest:        "F&O refused the request. Check the activity ID, the entity name and the company of the route, and that the recurring data job is enabled, then resubmit.",
	failure.Refused:           "F&O refused the request with the HTTP status shown. Check the recurring data job and the route, then resubmit.",
	failure.Unauthorized:      "F&O did not accept the token. Check the app registration and that its client ID is in F&O's 'Microsoft Entra applications' page, then resubmit.",
	failure.Forbidden:         "The identity may not use this recurring data job. Add its client ID to the job's authorization policy and give its user the right role, then resubmit.",
	failure.NotFound:          "F&O does not know this activity ID or path. Compare the route's activity with the recurring data job, and the environment's URL, then resubmit.",
	failure.Redirected:        "F&O answered with a redirect: the URL is not the environment's own, or it wants a sign-in. Correct environments.url, then resubmit.",
	failure.BadAnswer:         "The answer was not what the protocol says (a proxy's page?). Check what stands between the bridge and F&O, look whether the file arrived, then resubmit.",
	failure.TokenRefused:      "Microsoft Entra ID gave no token. Check tenant, client ID and the secret, certificate or federation and their expiry, then resubmit.",
	failure.NameNotResolved:   "The host name of the environment could not be resolved. Check environments.url and DNS, then resubmit.",
	failure.TLSFailed:         "The TLS connection could not be made. Check the certificate, the clock and what inspects traffic on the way, then resubmit.",
	failure.ConnectionRefused: "Nobody answered at the environment's address. Check environments.url, firewall and that the environment runs, then resubmit.",
	failure.ConnectionBroken:  "The connection broke each time before the file was sent. Check the network (and the file's size against the timeout), then resubmit.",
	failure.Timeout:           "The file could not be sent in time. Raise environments.timeout or split the file, then resubmit.",
	failure.StorageFailed:     "Blob Storage did not deliver the payload. Check the identity's access to the container, then resubmit.",
	failure.UnknownOutcome:    "F&O may or may not have taken this file. Look for it in the recurring job's messages (the external ID is the message ID): purge it if it is there, resubmit it if not.",

	failure.ProcessedWithErrors:  "F&O imported the file with errors. Read the errors, open the execution summary, correct the data (resubmit with --edit FILE) or the set-up in F&O (resubmit as it is). Records without error are imported already.",
	failure.PreProcessingError:   "F&O could not read the file: format, mapping or header do not fit the data project. Correct the file (resubmit with --edit FILE) or the project.",
	failure.PostProcessingFailed: "The records were imported, the step after it failed in F&O. Open the execution summary; resubmit only if a second import does no harm.",
	failure.ImportDeadlock:       "The import met a deadlock or an update conflict in F&O each time. Look for another import or batch job on the same entity, then resubmit.",
	failure.NeverEnds:            "F&O did not finish the import before the route's deadline. Check that the recurring job's batch runs, and how the import ended: purge if it succeeded later, resubmit if it never ran.",

	failure.OutOfOrder:      "It came out of its session after later files had been begun, so it was not imported. See whether it may still be imported after those: resubmit it then, or purge it.",
	failure.Unclassified:    "An error nobody has classified. Read what was said, look into the bridge's log at the time of the last attempt, then resubmit.",
	failure.LedgerUnusable:  "The session state cannot be read by this version of the bridge (a newer version wrote it, or another program). Run the newer version, or release the session, then resubmit.",
	failure.Drained:         "Not at fault itself: it stood behind a failed file of a session that drains. Correct and resubmit the failed file together with these: bridge deadletter resubmit --session ID keeps the order.",
	failure.OperatorSkipped: "An operator skipped this file. Resubmit it when it can go, or purge it.",
}

// Advice gives the text for r. A reason of another program (MaxDeliveryCountExceeded, TTLExpiredException, ...) gets
// the advice for what the broker itself does, or a general one.
func Advice(r failure.Reason) string {
	if a, ok := advice[r]; ok {
		return a
	}
	if a, ok := brokerAdvice[string(r)]; ok {
		return a
	}
	return "Not a reason of the bridge: the producer, another consumer or a person dead-lettered it. Read its description, then resubmit or purge it."
}

// brokerAdvice covers the reasons the broker gives on its own.
// Source: Microsoft Learn, service-bus-dead-letter-queues.
var brokerAdvice = map[string]string{
	"MaxDeliveryCountExceeded":    "The broker delivered it too often: a worker crashed or lost its lock again and again. Raise the queue's maximum delivery count, look for crashes, then resubmit.",
	"TTLExpiredException":         "It waited longer than its time to live. Check that the bridge runs and is fast enough, then resubmit.",
	"Session ID is null.":         "A message without a session reached an entity that needs one. Correct the producer.",
	"HeaderSizeExceeded":          "Its properties became too large for the broker. Correct the producer.",
	"MaxTransferHopCountExceeded": "It was forwarded too often: look for a loop in the auto-forwarding.",
}
