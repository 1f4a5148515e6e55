package letter

import (
	"strings"

	"fnobridge/internal/failure"
)

// What a person can do about a reason.
type advice struct {
	check string // what happened and what to look at; true at any time: in an event, in a log, before anything is sent
	then  string // what to do with the dead letter after that
}

const resubmit = "Then resubmit."

// advices has the one text for every reason. docs/deadletter.md shows the same words; a test compares them.
var advices = map[failure.Reason]advice{
	failure.NoRoute: {
		"No route takes this entity and company. Add one to bridge.yaml and restart the bridge, or correct the " +
			"message's entity, company or session.",
		resubmit,
	},
	failure.BadMessage: {
		"A property of the message has a wrong type or value. Correct the producer.",
		"Send the file again, or purge the dead letter.",
	},
	failure.EmptyBody: {
		"The message has neither a body nor a dataref. Correct the producer.",
		"Resubmit with --edit FILE, or let the producer send it again.",
	},
	failure.PayloadTooLarge: {
		"The file is larger than the route's maxSize or than F&O takes. Split it, or raise maxSize.",
		"Let the producer send it again.",
	},
	failure.PackageInvalid: {
		"The data package is broken: it must be a zip with Manifest.xml, PackageHeader.xml and the data file at " +
			"its root.",
		"Repair it and resubmit with --edit FILE.",
	},
	failure.ClaimCheckRefused: {
		"The dataref points outside the containers of the route. Correct the producer, or add the container to the " +
			"route's claimCheck.",
		resubmit,
	},
	failure.ClaimCheckMissing: {
		"The blob of the dataref does not exist (any more). It must outlive the message.",
		"Put it back and resubmit, or let the producer send the file again.",
	},
	failure.ChecksumMismatch: {
		"The payload is not what the producer hashed: it was changed or cut on its way.",
		"Let the producer send it again.",
	},

	failure.Throttled: {
		"F&O is busy and asks for fewer calls. Lower requests and statusCalls of the environment; raise " +
			"retry.total if files are given up for this.",
		"Resubmit at a quiet hour.",
	},
	failure.Unavailable: {
		"F&O is unavailable, for maintenance or an update.",
		"Resubmit when it is back.",
	},
	failure.ServerError: {
		"F&O answers with a server error, and may have taken the file if it was sent whole. Look into its event log at the time of the last attempt.",
		resubmit,
	},
	failure.BadGateway: {
		"The gateway in front of F&O does not reach it. If this repeats, check the environment in Lifecycle Services.",
		resubmit,
	},
	failure.GatewayTimeout: {
		"F&O did not answer its gateway in time, and may have taken the file. Look for it in the recurring job's " +
			"messages; smaller files help.",
		"Purge it if it is there, resubmit if not.",
	},
	failure.BadRequest: {
		"F&O refused the request. Check the activity ID, the entity name and the company of the route, and that " +
			"the recurring data job is enabled.",
		resubmit,
	},
	failure.Refused: {
		"F&O, or a proxy, refused the request with the HTTP status shown. Check the recurring data job and the route.",
		resubmit,
	},
	failure.Unauthorized: {
		"F&O did not accept the token. Check that the client ID of the identity is in F&O under System " +
			"administration > Setup > Microsoft Entra ID applications, and in the authorization policy of the " +
			"recurring data job.",
		resubmit,
	},
	failure.Forbidden: {
		"The user of the client ID may not do this. Give the user the Data management roles in F&O, and add the " +
			"client ID to the authorization policy of the recurring data job.",
		resubmit,
	},
	failure.NotFound: {
		"F&O does not know this activity ID or path. Compare the route's activity with the ID of the recurring " +
			"data job, and check the environment's URL and version (platform update 12 or later).",
		resubmit,
	},
	failure.Redirected: {
		"F&O answers with a redirect: the URL is not the environment's own, or it wants a sign-in. Correct the " +
			"environment's URL; on-premises environments have no recurring integrations.",
		resubmit,
	},
	failure.BadAnswer: {
		"The answer is not what the protocol says: a sign-in page, a proxy? Check the environment's URL, what " +
			"stands between the bridge and F&O, and whether the file arrived.",
		resubmit,
	},
	failure.TokenRefused: {
		"Microsoft Entra ID gave no token. Check the identity of the environment: tenant, client ID, and the " +
			"secret, certificate or federation and when it expires.",
		resubmit,
	},
	failure.NameNotResolved: {
		"The host name of the environment cannot be resolved. Check the environment's URL and the DNS of the machine.",
		resubmit,
	},
	failure.TLSFailed: {
		"The TLS connection cannot be made. Check the certificate of the other side, the clock, and whether a " +
			"proxy breaks TLS open.",
		resubmit,
	},
	failure.ConnectionRefused: {
		"Nobody answers at the environment's address. Check the environment's URL, the proxy, the firewall, and " +
			"that the environment runs.",
		resubmit,
	},
	failure.ConnectionBroken: {
		"The connection broke before the file was sent. Check the network, and the file's size against the " +
			"environment's timeout.",
		resubmit,
	},
	failure.Timeout: {
		"The call could not be made in time. Raise the timeout of the environment, or split the file.",
		resubmit,
	},
	failure.StorageFailed: {
		"Blob Storage did not deliver the payload. Check that the identity may read the container, and that its " +
			"network lets the bridge in.",
		resubmit,
	},
	failure.UnknownOutcome: {
		"F&O may or may not have taken this file. Look for it in the recurring job's messages: the external ID is " +
			"the message ID.",
		"Purge it if it is there, resubmit if not.",
	},

	failure.ProcessedWithErrors: {
		"F&O imported the file with errors. Records without error are imported already. Read the errors and open " +
			"the execution summary.",
		"Correct the data and resubmit with --edit FILE, or correct the set-up in F&O and resubmit as it is.",
	},
	failure.PreProcessingError: {
		"F&O could not read the file: format, mapping or header do not fit the data project.",
		"Correct the file and resubmit with --edit FILE, or correct the project and resubmit as it is.",
	},
	failure.PostProcessingFailed: {
		"The records were imported, the step after it failed in F&O. Open the execution summary.",
		"Resubmit only if a second import does no harm.",
	},
	failure.ImportDeadlock: {
		"The import met a deadlock or an update conflict in F&O. Records without error are imported already. Look for " +
			"another import or batch job on the same entity at the same time.",
		"Resubmit if a second import does no harm; then partialImport: repeat on the route saves the trouble.",
	},
	failure.NeverEnds: {
		"F&O did not finish the import before the route's deadline. Check that the recurring job's batch runs, and " +
			"how the import ended.",
		"Purge if it succeeded later, resubmit if it never ran.",
	},

	failure.Unclassified: {
		"An error that nobody has classified. Read what was said, and look into the bridge's log at the time of " +
			"the last attempt.",
		resubmit,
	},
	failure.LedgerUnusable: {
		"The session state cannot be read by this version of the bridge: a newer version wrote it, or another " +
			"program. Run the newer version, or release the session.",
		resubmit,
	},
	failure.SettlementRefused: {
		"The broker does not let the file leave its queue: its rights, its size, or a fault of the broker. The session " +
			"stands still, and is tried again every ten minutes.",
		"See the log for the broker's answer. Nothing is to be done once it takes the settlement.",
	},
	failure.OutOfOrder: {
		"It came out of its session after later files had been begun, so it was not imported.",
		"See whether it may still be imported after those: resubmit it then, or purge it.",
	},
	failure.Drained: {
		"Not at fault itself: it came behind a failed file of a session that drains.",
		"Correct the failed file and resubmit it together with these: bridge deadletter resubmit --session ID " +
			"keeps the order.",
	},
	failure.OperatorSkipped: {
		"An operator skipped this file.",
		"Resubmit it when it can go, or purge it.",
	},
}

// onlyIfNotImported is what to do with a message that the broker took away whenever it liked.
const onlyIfNotImported = "F&O may have its file: look at its status events. Purge it when they say Processed, wait while they " +
	"say that F&O works at it, and resubmit it when they say that the import failed or when there are none."

// others are the reasons of the broker itself.
// Source: Microsoft Learn, service-bus-dead-letter-queues.
var others = map[failure.Reason]advice{
	"MaxDeliveryCountExceeded": {
		"The broker delivered it too often: a worker crashed or lost its lock again and again. Raise the queue's " +
			"maximum delivery count, look for crashes.",
		onlyIfNotImported,
	},
	"TTLExpiredException": {
		"It waited longer than its time to live. Check that the bridge runs and is fast enough; the time to live must be " +
			"longer than the longest wait and the route's deadline together.",
		onlyIfNotImported,
	},
	"Session ID is null.": {
		"A message without a session reached an entity that needs one. Correct the producer.",
		"Purge it.",
	},
	"HeaderSizeExceeded": {
		"Its properties became too large for the broker. Correct the producer.",
		"Purge it.",
	},
	"MaxTransferHopCountExceeded": {
		"It was forwarded too often. Look for a loop in the auto-forwarding.",
		resubmit,
	},
}

// Advice returns what an operator does about a dead letter of reason r. A reason of another program gets a general
// text.
func Advice(r failure.Reason) string {
	a, ok := advices[r]
	if !ok {
		a, ok = others[r]
	}
	if !ok {
		return "Not a reason of the bridge: the producer, another consumer or a person dead-lettered it. Read its " +
			"description, then resubmit or purge it."
	}
	return a.check + " " + a.then
}

// Check returns the part of the advice that holds before anything is dead-lettered: what happened and what to look at.
// It is empty for a reason that is not the bridge's own.
func Check(r failure.Reason) string { return advices[r].check }

// Explain returns what was said about a failure for reason r, and after it what to check.
func Explain(r failure.Reason, said string) string {
	said, check := strings.TrimSpace(said), Check(r)
	switch {
	case said == "":
		return check
	case check == "":
		return said
	case !strings.HasSuffix(said, "."):
		said += "."
	}
	return said + " " + check
}
