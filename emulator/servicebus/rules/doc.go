// Package rules decides which messages a subscription takes, and changes the copies it gets: the SQL filter and action
// language of Service Bus, and correlation filters.
//
// A filter that is not written correctly is refused when it is compiled, with the place of the error. One that cannot
// be evaluated for a message (a division by zero, the comparison of a text with a number) is an error of Match; what
// becomes of the message is the broker's decision.
//
// What the language does is taken from Microsoft Learn, service-bus-messaging-sql-filter and
// service-bus-messaging-sql-rule-action. Where those pages are silent: texts are compared ordinally, with case; a
// system property that does not exist is refused at compile time; text + a number joins them, as in C#; types that C#
// would not compare are an error.
package rules
