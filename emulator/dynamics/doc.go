// Package dynamics is an embedded Dynamics 365 Finance and Operations: the recurring integrations endpoints and the few
// OData actions a client of them needs, with the shapes and the quirks of the real thing, over TCP on loopback.
//
// # What is there
//
//	POST /{tenant}/oauth2/v2.0/token                       client credentials: secret or client assertion (v1 path too)
//	GET  /{tenant}/v2.0/.well-known/openid-configuration   what MSAL reads first
//	GET  /common/discovery/instance                        instance metadata
//	POST /api/connector/enqueue/{activity}                 GUID in quotes; entity and company in the query
//	GET  /api/connector/jobstatus/{activity}?jobId=        the older status call
//	GET  /api/connector/dequeue/{activity}                 204, or where the file is
//	GET  /api/connector/download/{id}                      the file; wants the bearer
//	POST /api/connector/ack/{activity}                     the body of the dequeue answer; 500 on a stale pop receipt
//	POST /data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.{action}
//	     GetMessageStatus, GetExecutionIdByMessageId, GetExecutionErrors, GetExecutionSummaryPageUrl,
//	     GetExecutionSummaryStatus
//
// Sources: Microsoft Learn, "Recurring integrations", "Data management package REST API", "Data management error
// descriptions", "Service protection API limits"; for what those pages leave out, what working clients send and report
// (microsoft/Recurring-Integrations-Scheduler, d365fo.integrations, HotWax). Each quirk names its source where it is
// made.
//
// # The life of an import
//
// The outcome and the times of an import are fixed when it is accepted; what a status call sees is read off the clock.
// There are no timers and no goroutines per import.
//
//	accepted --PickUp--> started ---------------- ImportTime ------------> ended
//	Enqueued             Dequeued (first 10 %), PreProcessing (to 25 %),   Processed | ProcessedWithErrors
//	                     Processing                                        PreProcessingError | PostProcessingError
//	entity label unknown: Enqueued, then InProcess for ever
//
// An import of an entity that starts while another import of the same entity is running ends ProcessedWithErrors with
// the text of the deadlock (DMF1996); the one that was running is not harmed. A job with InOrder queues instead, as
// F&O's "process messages in order" does, for files only.
//
// # Outcomes from content
//
// An entity with Fields has its CSV and XML files read: a file that cannot be parsed, lacks a mandatory column or is
// empty ends PreProcessingError with no execution errors; a bad value ends ProcessedWithErrors with one execution error
// per bad value, naming record and field. A data package must have its files at the root, PackageHeader.xml and
// Manifest.xml, known entities and their data files; a package whose entity has no EntityMapList is imported with zero
// records, as F&O does. Bodies larger than Options.Inspect are hashed but not read.
//
// # Using it with azidentity
//
// azidentity refuses an authority host without https, so one port speaks both: a connection that starts with a TLS
// handshake is served with a certificate made at the start, any other in plain text. AuthorityHost is always https. A
// credential needs three things (azidentity v1.15, MSAL v1.10):
//
//	options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: server.AuthorityHost()}
//	options.DisableInstanceDiscovery = true     // else MSAL asks login.microsoft.com about the host first
//	options.Transport = server.Client()         // trusts the certificate; CertificatePEM for a client of another process
//
// F&O wants a token whose audience is its own URL without a trailing slash; so does this server: the audience must be
// the URL the client called, scheme and Host header, so that a proxy in between needs no configuration.
//
// # Not promised
//
// HTTP/2, the package API (GetAzureWriteUrl, ImportFromPackage), other OData, on-premises behaviour, and anything that
// nobody has documented or reported. Signatures of client assertions are not verified. That a real environment answers
// the same where the sources disagree is not known: there was none to compare with.
package dynamics
