using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Tests.Quantization.Texts;

/// <summary>Folders and patterns: which files they stand for, in which order, and where links may not lead.</summary>
public sealed class TextFilesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AFolderStandsForItsTextsInTheOrderOfTheirBytes()
    {
        foreach (string name in new[] { "b.txt", "B.txt", "a.jsonl.zst", "sub/a.parquet", "sub/.hidden/x.txt", "read.me", ".x.txt", "c.csv.gz" }) Write(name);
        Assert.Equal(["B.txt", "a.jsonl.zst", "b.txt", "c.csv.gz", "sub/a.parquet"], Relative(_folder.Path));
        Assert.Equal(["B.txt", "b.txt"], Relative(_folder.File("*.txt")));
        Assert.Equal(["B.txt", "b.txt"], Relative(_folder.File("?.txt")));
        Assert.Equal(["a.jsonl.zst", "sub/a.parquet"], Relative(_folder.File("**/a.*")));
        Assert.Equal(["sub/a.parquet"], Relative(_folder.File("s*/*")));
        // A file is itself, there or not.
        Assert.Equal([_folder.File("none.txt")], TextFiles.Of(_folder.File("none.txt")));
        Assert.Contains("matches no file", Assert.Throws<TextSourceException>(() => TextFiles.Of(_folder.File("*.none"))).Message, StringComparison.Ordinal);
        Assert.Contains("there is no folder", Assert.Throws<TextSourceException>(() => TextFiles.Of(_folder.File("none/*.txt"))).Message, StringComparison.Ordinal);
        Directory.CreateDirectory(_folder.File("empty"));
        Assert.Contains("without a text", Assert.Throws<TextSourceException>(() => TextFiles.Of(_folder.File("empty"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void LinksOutOfTheFolderAreRefused()
    {
        Write("data/a.txt");
        Write("data/.kept/b.txt");
        Write("secret.txt");
        string data = _folder.File("data");
        File.CreateSymbolicLink(Path.Combine(data, "z.txt"), Path.Combine(data, "a.txt"));
        Assert.Equal(2, TextFiles.Of(data).Count);
        // Out of it, straight or over another link that lies in it.
        foreach (string target in new[] { _folder.File("secret.txt"), Path.Combine(data, ".out", "secret.txt") })
        {
            if (!Directory.Exists(Path.Combine(data, ".out"))) Directory.CreateSymbolicLink(Path.Combine(data, ".out"), _folder.Path);
            File.CreateSymbolicLink(Path.Combine(data, "y.txt"), target);
            Assert.Contains("'y.txt' is a link that leads out of the folder", Assert.Throws<TextSourceException>(() => TextFiles.Of(data)).Message, StringComparison.Ordinal);
            Assert.Contains("leads out of the folder", Assert.Throws<TextSourceException>(() => TextFiles.Of(Path.Combine(data, "y.*"))).Message, StringComparison.Ordinal);
            File.Delete(Path.Combine(data, "y.txt"));
        }
        Directory.CreateSymbolicLink(Path.Combine(data, "round"), data);
        Assert.Contains("link to a folder, which is not followed", Assert.Throws<TextSourceException>(() => TextFiles.Of(data)).Message, StringComparison.Ordinal);
    }

    private string[] Relative(string path) => [.. TextFiles.Of(path).Select(file => Path.GetRelativePath(_folder.Path, file).Replace('\\', '/'))];

    private void Write(string name)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder.File(name))!);
        File.WriteAllText(_folder.File(name), "x");
    }
}
