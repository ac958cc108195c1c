using System.Globalization;
using System.Text;
using System.Text.Json;
using LowRankQuant.Formats;

namespace LowRankQuant.Tests.Formats;

/// <summary>JSON files as people have them: what is read, and in which words the rest is refused.</summary>
public sealed class JsonFileTests
{
    /// <summary>Python's json writes words that are no JSON; in strings and within other words they are left alone.</summary>
    [Fact]
    public void NumbersThatAreWordsAreRead()
    {
        using JsonDocument json = JsonFile.Parse("""{"limits": [0.0, Infinity], "low": -Infinity, "none": NaN, "text": "Infinity, NaN \" Infinity", "n": 1}"""u8.ToArray(), "config.json");
        JsonElement root = json.RootElement;
        Assert.Equal((double.PositiveInfinity, double.NegativeInfinity), (double.Parse(root.GetProperty("limits")[1].GetRawText(), CultureInfo.InvariantCulture), double.Parse(root.GetProperty("low").GetRawText(), CultureInfo.InvariantCulture)));
        Assert.Equal(JsonValueKind.Null, root.GetProperty("none").ValueKind);
        Assert.Equal("Infinity, NaN \" Infinity", root.GetProperty("text").GetString());
        Assert.Throws<CheckpointFormatException>(() => JsonFile.Parse("""{"a": Infinityx}"""u8.ToArray(), "config.json"));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData(" [1, 2] \n")]
    [InlineData("{\"a\": \"\\ud83d\\ude00\", \"b\": \"\\\\ud83d\"}")]
    [InlineData("12")]
    public void SoundTextIsRead(string text)
    {
        Assert.Null(JsonSyntax.ProblemOf(Encoding.UTF8.GetBytes(text)));
        JsonFile.Parse(Encoding.UTF8.GetBytes(text), "file").Dispose();
    }

    [Fact]
    public void AByteOrderMarkIsSkipped()
    {
        using var folder = new TemporaryFolder();
        string file = folder.Write("a.json", [0xEF, 0xBB, 0xBF, .. "{\"a\": 1e-05}"u8]);
        Assert.Equal("""{"a":1e-05}""", JsonFile.ReadObject(file).ToJsonString());
    }

    [Theory]
    [InlineData("{\n  \"a\": 1,\n  \"ä\": }\n}", "not valid JSON: line 3, column 8: unexpected '}'; correct the file or download it again.")]
    [InlineData("{\"a\": 1,}", "not valid JSON: line 1, column 9: unexpected '}'; correct the file or download it again.")]
    [InlineData("{\"a\": tru", "not valid JSON: the text ends too early (line 1): the file is cut short; download it again.")]
    [InlineData("{\"a\": \"b", "not valid JSON: the text ends too early (line 1): the file is cut short; download it again.")]
    [InlineData("{\"a\":\n{\"b\": [1, 2", "not valid JSON: the text ends too early (line 2): the file is cut short; download it again.")]
    [InlineData("{} {}", "not valid JSON: line 1, column 4: unexpected '{'; correct the file or download it again.")]
    [InlineData("", "not valid JSON: the file is empty; download it again.")]
    [InlineData(" \n", "not valid JSON: the file is empty; download it again.")]
    [InlineData("{\"a\": {\"b\": 1,\n \"b\": 2}}", "not valid JSON: line 2, column 2: the key 'b' occurs twice in one object; correct the file or download it again.")]
    [InlineData("{\"a\": \"\\ud83d!\"}", "not valid JSON: line 1, column 7: half of a surrogate pair (\\ud800 to \\udfff alone), which is no character; correct the file or download it again.")]
    [InlineData("{\"\\udc00\": 1}", "not valid JSON: line 1, column 2: half of a surrogate pair (\\ud800 to \\udfff alone), which is no character; correct the file or download it again.")]
    public void FaultsAreNamedWithTheirPlace(string text, string message)
    {
        var error = Assert.Throws<CheckpointFormatException>(() => JsonFile.Parse(Encoding.UTF8.GetBytes(text), "x/config.json"));
        Assert.Equal($"x/config.json: {message} [json]", error.Message);
    }

    [Fact]
    public void OtherEncodingsAreNamed()
    {
        Assert.Contains("UTF-16", Refused(Encoding.Unicode.GetPreamble().Concat(Encoding.Unicode.GetBytes("{}")).ToArray()), StringComparison.Ordinal);
        Assert.Contains("UTF-16", Refused(Encoding.BigEndianUnicode.GetBytes("{}")), StringComparison.Ordinal);
        Assert.Contains("not valid UTF-8: line 2, column 3: byte 0xE4", Refused([.. "{\n \""u8, 0xE4, .. "\": 1}"u8]), StringComparison.Ordinal);
    }

    [Fact]
    public void DepthAndSizeHaveLimits()
    {
        Assert.Contains("more than 64 levels", Refused(Encoding.UTF8.GetBytes(new string('[', 100_000))), StringComparison.Ordinal);
        using var folder = new TemporaryFolder();
        string file = folder.Write("a.json", "{\"a\": 1}"u8);
        Assert.Contains("has 8 bytes", Assert.Throws<CheckpointFormatException>(() => JsonFile.Parse(file, largest: 7)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OtherThingsInItsPlaceAreNamed()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains("is a folder", Assert.Throws<CheckpointFormatException>(() => JsonFile.Parse(folder.Path)).Message, StringComparison.Ordinal);
        Assert.Contains("does not exist", Assert.Throws<CheckpointFormatException>(() => JsonFile.Parse(folder.File("none"))).Message, StringComparison.Ordinal);
        Assert.Contains("git lfs pull", Refused([.. "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"u8]), StringComparison.Ordinal);
        Assert.Contains("web page", Refused([.. "\n<!DOCTYPE html><html>"u8]), StringComparison.Ordinal);
    }

    [Fact]
    public void TheTopLevelOfAConfigurationIsAnObject()
    {
        using var folder = new TemporaryFolder();
        string file = folder.Write("a.json", "[1]"u8);
        Assert.Equal(
            $"{file}: the top level is a list; it must be an object. [json]", Assert.Throws<CheckpointFormatException>(() => JsonFile.ReadObject(file)).Message);
    }

    [Theory]
    [InlineData("version https://git-lfs.github.com/spec/v1\n", "git lfs pull")]
    [InlineData("<html><body>", "web page")]
    [InlineData("<?xml version='1.0'?><Error>", "web page")]
    [InlineData("PK\u0003\u0004", "zip archive")]
    [InlineData("tjgg\u0003", "GGML")]
    [InlineData("lmgg", "GGML")]
    public void KindsOfFilesAreKnownByTheirFirstBytes(string head, string word) =>
        Assert.Contains(word, FileKind.Foreign(Encoding.Latin1.GetBytes(head)), StringComparison.Ordinal);

    [Fact]
    public void OrdinaryFilesAreNotForeign()
    {
        Assert.Null(FileKind.Foreign("GGUF\u0003\0\0\0"u8));
        Assert.Null(FileKind.Foreign("{\"a\": 1}"u8));
        Assert.Null(FileKind.Foreign([]));
        Assert.Contains("pickle", FileKind.Foreign([0x80, 2, (byte)'}']), StringComparison.Ordinal);
    }

    private static string Refused(byte[] bytes) => Assert.Throws<CheckpointFormatException>(() => JsonFile.Parse(bytes, "f")).Message;
}
