// Package storagetest is a Blob Storage for a Go test, in three lines:
//
//	blobs := storagetest.New(t)
//	url := blobs.Upload("/inbound/a.csv", []byte("hello"))
//	client, err := blob.NewClientWithNoCredential(url, nil)
//
// New starts a server of its own for every test, on a free port of 127.0.0.1, and ends it when the test ends. It serves
// in the clear and wants no token, as storage emulators do; NewTLS serves over TLS and wants one.
//
// A Server is a storage.Server with what a test needs beside it. Faults go through Server.Break, and what clients asked
// for is read with Server.Requests.
package storagetest
