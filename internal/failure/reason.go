package failure

// A Reason names why a file failed. The set is closed: metrics label on it, operators filter dead letters by it,
// subscribers filter events by it.
type Reason string

// What the message itself is guilty of. All are rejections.
const (
	NoRoute           Reason = "NoRoute"           // no route matches its entity and company
	BadMessage        Reason = "BadMessage"        // a property of the contract has a wrong type or value
	EmptyBody         Reason = "EmptyBody"         // neither a body nor a claim check
	PayloadTooLarge   Reason = "PayloadTooLarge"   // over the route's size limit, or HTTP 413
	PackageInvalid    Reason = "PackageInvalid"    // not a data package F&O would take
	ClaimCheckRefused Reason = "ClaimCheckRefused" // dataref outside the configured containers
	ClaimCheckMissing Reason = "ClaimCheckMissing" // the blob is not there
	ChecksumMismatch  Reason = "ChecksumMismatch"  // the payload is not the one the producer hashed
)

// How a call to F&O, to its token service or to Blob Storage failed.
const (
	Throttled         Reason = "Throttled"         // 429, or 503 with Retry-After
	Unavailable       Reason = "Unavailable"       // 503
	ServerError       Reason = "ServerError"       // 500 and other 5xx
	BadGateway        Reason = "BadGateway"        // 502
	GatewayTimeout    Reason = "GatewayTimeout"    // 504
	BadRequest        Reason = "BadRequest"        // 400
	Refused           Reason = "Refused"           // any other 4xx
	Unauthorized      Reason = "Unauthorized"      // 401 after one fresh token
	Forbidden         Reason = "Forbidden"         // 403
	NotFound          Reason = "NotFound"          // 404, 410: wrong activity or path
	Redirected        Reason = "Redirected"        // 3xx: wrong host, sign-in page
	BadAnswer         Reason = "BadAnswer"         // 2xx, but not what the protocol says
	TokenRefused      Reason = "TokenRefused"      // Microsoft Entra ID gave no token
	NameNotResolved   Reason = "NameNotResolved"   // DNS
	TLSFailed         Reason = "TLSFailed"         // certificate or handshake
	ConnectionRefused Reason = "ConnectionRefused" // nobody listens
	ConnectionBroken  Reason = "ConnectionBroken"  // broken before the request was complete
	Timeout           Reason = "Timeout"           // no answer in time, and the request was not complete
	StorageFailed     Reason = "StorageFailed"     // Blob Storage did not deliver the claim-checked payload
	UnknownOutcome    Reason = "UnknownOutcome"    // the request was complete, the answer never came
)

// How F&O said the import ended, or that it did not.
const (
	ProcessedWithErrors  Reason = "ProcessedWithErrors"
	PreProcessingError   Reason = "PreProcessingError"
	PostProcessingFailed Reason = "PostProcessingFailed"
	ImportDeadlock       Reason = "ImportDeadlock" // F&O's own words name a deadlock or an update conflict: passing
	NeverEnds            Reason = "NeverEnds"      // no final status before the route's deadline
)

// What the bridge itself or an operator decided.
const (
	OutOfOrder        Reason = "OutOfOrder"        // it came out of its session after later files had been begun
	Unclassified      Reason = "Unclassified"      // an error nobody gave a verdict
	LedgerUnusable    Reason = "LedgerUnusable"    // session state that this version cannot read
	SettlementRefused Reason = "SettlementRefused" // the broker does not let the file leave its queue
	Drained           Reason = "Drained"           // behind a failed file of a route with onFailure: drain
	OperatorSkipped   Reason = "OperatorSkipped"   // `bridge sessions skip`
)

// Reasons returns the whole set, in the order of this file.
func Reasons() []Reason {
	return []Reason{
		NoRoute, BadMessage, EmptyBody, PayloadTooLarge, PackageInvalid, ClaimCheckRefused, ClaimCheckMissing, ChecksumMismatch,
		Throttled, Unavailable, ServerError, BadGateway, GatewayTimeout, BadRequest, Refused, Unauthorized, Forbidden, NotFound,
		Redirected, BadAnswer, TokenRefused, NameNotResolved, TLSFailed, ConnectionRefused, ConnectionBroken, Timeout,
		StorageFailed, UnknownOutcome,
		ProcessedWithErrors, PreProcessingError, PostProcessingFailed, ImportDeadlock, NeverEnds,
		OutOfOrder, Unclassified, LedgerUnusable, SettlementRefused, Drained, OperatorSkipped,
	}
}
