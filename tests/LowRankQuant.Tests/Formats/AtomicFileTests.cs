using LowRankQuant.Formats;

namespace LowRankQuant.Tests.Formats;

/// <summary>Files that are whole or as they were, and the look at the disk before them.</summary>
public sealed class AtomicFileTests : IDisposable
{
    private const string Full = "/dev/full";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AFileStandsUnderItsNameOnlyWhenItIsComplete()
    {
        string path = Path.Combine(_folder.Path, "deep", "file"), partial = AtomicFile.PartialOf(path);
        AtomicFile.WriteAllText(path, "old");
        // What a killed process left is no obstacle.
        File.WriteAllText(partial, "half of something longer");
        AtomicFile.Write(path, stream =>
        {
            stream.Write("new"u8);
            stream.Flush();
            Assert.Equal("old", File.ReadAllText(path));
            Assert.Equal(3, new FileInfo(partial).Length);
        });
        Assert.Equal("new"u8.ToArray(), File.ReadAllBytes(path));
        Assert.False(File.Exists(partial));
    }

    [Fact]
    public void AFailureLeavesWhatWasThere()
    {
        string path = _folder.File("file");
        AtomicFile.WriteAllBytes(path, new byte[] { 1, 2 });
        Assert.Throws<InvalidOperationException>(() => AtomicFile.Write(path, stream =>
        {
            stream.WriteByte(3);
            throw new InvalidOperationException();
        }));
        Assert.Equal([1, 2], File.ReadAllBytes(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3 << 20)]
    public void AFullDiskLeavesWhatWasThere(int bytes)
    {
        Assert.SkipUnless(File.Exists(Full), $"There is no {Full} here.");
        string path = _folder.File("file");
        AtomicFile.WriteAllText(path, "old");
        foreach (Action write in (Action[])[() => AtomicFile.WriteAllBytes(path, new byte[bytes]), () => AtomicFile.Write(path, stream => stream.Write(new byte[bytes]))])
        {
            File.CreateSymbolicLink(AtomicFile.PartialOf(path), Full);
            Assert.Contains("No space left on device", Assert.ThrowsAny<IOException>(write).Message, StringComparison.Ordinal);
            Assert.Equal("old", File.ReadAllText(path));
            Assert.Equal([path], Directory.GetFileSystemEntries(_folder.Path));
        }
    }

    [Fact]
    public void ADiskIsAskedBeforeAnythingIsWritten()
    {
        string path = Path.Combine(_folder.Path, "not", "there", "yet");
        DiskSpace.Require(path, 1);
        string message = Assert.Throws<IOException>(() => DiskSpace.Require(path, long.MaxValue)).Message;
        Assert.StartsWith(path, message, StringComparison.Ordinal);
        Assert.Contains("9,223,372,036,854.8 MB are needed", message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }
}
