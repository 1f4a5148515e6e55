// Package atom is the administration API of Service Bus: ATOM entries over HTTP, as the administration clients of the
// SDKs speak it.
//
// It translates between XML and the descriptions of package entity, checks what may be changed, and writes the answers
// and error texts that clients look for. What exists, and how it is kept, is the business of a Manager; who may do
// what, that of an Authorizer.
//
// Elements it does not know are ignored, as the service ignores them, except inside a filter or action of unknown type:
// those are kept as they came and given back.
package atom
