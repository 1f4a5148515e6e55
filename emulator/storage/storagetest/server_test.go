package storagetest_test

import (
	"io"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"go.uber.org/goleak"

	"fnobridge/emulator/storage"
	"fnobridge/emulator/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestABlobInThreeLines(t *testing.T) {
	blobs := storagetest.New(t)
	url := blobs.Upload("/inbound/größe 1+2%.csv", []byte("hello"))
	client, err := blob.NewClientWithNoCredential(url, nil)
	must(t, err)

	download, err := client.DownloadStream(t.Context(), nil)
	must(t, err)
	content, err := io.ReadAll(download.Body)
	must(t, err)
	must(t, download.Body.Close())
	if string(content) != "hello" {
		t.Errorf("downloaded %q", content)
	}
}

func TestAFaultStrikesTheClient(t *testing.T) {
	blobs := storagetest.New(t)
	blobs.Break(storage.Fault{Status: 404, Code: "ContainerNotFound", Times: 1})
	client, err := blob.NewClientWithNoCredential(blobs.Upload("/inbound/a", []byte("hello")), nil)
	must(t, err)
	if _, err := client.GetProperties(t.Context(), nil); !bloberror.HasCode(err, bloberror.ContainerNotFound) {
		t.Errorf("the client heard %v", err)
	}
	_, err = client.GetProperties(t.Context(), nil)
	must(t, err)
}

// endless is a blob that is made while it is read.
type endless struct{}

func (endless) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = byte('0' + (off+int64(i))%10)
	}
	return len(p), nil
}

func TestALargeBlobNeedsNoMemory(t *testing.T) {
	const size = 100 << 30
	blobs := storagetest.New(t)
	blobs.PutReaderAt("/inbound/large", endless{}, size)
	client, err := blob.NewClientWithNoCredential(blobs.URL()+"/inbound/large", nil)
	must(t, err)
	part, err := client.DownloadStream(t.Context(),
		&blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: size - 3, Count: 10}})
	must(t, err)
	content, err := io.ReadAll(part.Body)
	must(t, err)
	must(t, part.Body.Close())
	if string(content) != "789" {
		t.Errorf("the end is %q", content)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
