// Package dynamicstest is a Dynamics 365 Finance and Operations for a Go test, in three lines:
//
//	fno := dynamicstest.New(t, dynamicstest.Job(activity))
//	url := fno.URL() + "/api/connector/enqueue/" + activity + "?entity=Customers"
//	resp, err := fno.AuthorizedClient("app").Post(url, "text/csv", strings.NewReader("ID,NAME\n1,Contoso\n"))
//
// New starts a server of its own for every test, on a free port of 127.0.0.1, and ends it when the test ends, so tests
// run in parallel and see nothing of each other. Every entity label is known unless the options name entities.
//
// An Environment is a dynamics.Server with what a test needs beside it. Faults go through Environment.Faults, and what
// arrived is read with Environment.Imports and Environment.Exports:
//
//	fno.Faults().MustAdd(dynamics.Fault{Operation: dynamics.Enqueue, Act: dynamics.ResetAfter, Times: 1})
//	imports := fno.WaitForImports(1)
//
// Signing in: Environment.Credential issues tokens without a call, Environment.SignIn goes through azidentity and the
// token endpoint, and CAFile has the certificate for another process.
package dynamicstest
