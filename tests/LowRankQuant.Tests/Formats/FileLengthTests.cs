using LowRankQuant.Formats;

namespace LowRankQuant.Tests.Formats;

/// <summary>The files of the Hugging Face cache are links; a size is that of the file behind.</summary>
public class FileLengthTests
{
    [Fact]
    public void ALinkIsAsLongAsItsFile()
    {
        using var folder = new TemporaryFolder();
        string file = folder.File("file.json"), link = folder.File("link.json");
        File.WriteAllText(file, $"{{\"a\": \"{new string('x', 1000)}\"}}");
        File.CreateSymbolicLink(link, "file.json");
        Assert.Equal((1009, 1009), (FileLength.Of(file), FileLength.Of(link)));
        // No limit is passed by one.
        Assert.Contains("has 1009 bytes", Assert.Throws<CheckpointFormatException>(() => JsonFile.ReadBytes(link, largest: 1000)).Message, StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => FileLength.Of(folder.File("none")));
    }
}
