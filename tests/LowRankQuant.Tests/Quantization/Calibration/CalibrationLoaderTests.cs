using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Tests.Quantization.Calibration;

public sealed class CalibrationLoaderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Text_IsOneDocument_CutIntoWindowsFromItsStart()
    {
        CalibrationSet set = Load("abcdefghij", samples: 2, length: 4);
        Assert.Equal(["abcd", "efgh"], Texts(set.Windows));
        Assert.Empty(set.HeldOutWindows);
        Assert.Equal((1, 8L, 8L, 0L), (set.Documents, set.TokensUsed, set.TokensFound - set.TokensDropped, set.TokensFound - 10));
    }

    [Theory]
    [InlineData("<|endoftext|>")]
    [InlineData("</s>")]
    public void Text_IsSplitAtLinesThatHoldTheEndTokenAlone(string separator)
    {
        CalibrationSet set = Load($"one\n{separator}\ntwo {separator}\r\n{separator}\r\n{separator}\n\nend", samples: 1, length: 13 + separator.Length);
        Assert.Equal($"one\u0001two {separator}\u0001\nend", Assert.Single(Texts(set.Windows)));
        Assert.Equal(3, set.Documents);
    }

    [Fact]
    public void Documents_HaveTheEndTokenBetweenThem_AndTheBeginTokenInFront()
    {
        string path = Write("a.jsonl", "\"ab\"\n\n{\"text\":\"cd\"}\n\"ef\"\n");
        var tokenizer = new CharacterTokenizer(bos: 2, eos: 1, addsBos: true);
        CalibrationSet set = Load(Options(path, 1, 10), tokenizer);
        Assert.Equal("\u0002ab\u0001\u0002cd\u0001\u0002e", Assert.Single(Texts(set.Windows)));
        set = Load(Options(path, 1, 8) with { AddBos = AddBos.No }, tokenizer);
        Assert.Equal("ab\u0001cd\u0001ef", Assert.Single(Texts(set.Windows)));
        set = Load(Options(path, 1, 8), new CharacterTokenizer(bos: 2, eos: 1, addsBos: false));
        Assert.Equal("ab\u0001cd\u0001ef", Assert.Single(Texts(set.Windows)));
    }

    [Fact]
    public void ATokenThatBeginsAndEnds_StandsOnce()
    {
        string path = Write("a.jsonl", "\"ab\"\n\"cd\"\n");
        CalibrationSet set = Load(Options(path, 1, 6), new CharacterTokenizer(bos: 1, eos: 1, addsBos: true));
        Assert.Equal("\u0001ab\u0001cd", Assert.Single(Texts(set.Windows)));
    }

    [Theory]
    [InlineData(12, "ab cd gh kl")]
    [InlineData(10, "ab cd ef ij")]
    [InlineData(8, "ab cd ef gh")]
    public void HeldOutWindows_AreSpacedWhileThereIsText(int characters, string expected)
    {
        CalibrationSet set = Load("abcdefghijklmnop"[..characters], samples: 2, length: 2, heldOut: 2);
        Assert.Equal(expected, string.Join(' ', Texts(set.Windows).Concat(Texts(set.HeldOutWindows))));
    }

    // Windows to calibrate on and held-out ones are the same, however many more are asked for.
    [Theory]
    [InlineData(16, 2, 2, "ab cd gh kl", "mn op")]
    [InlineData(15, 2, 9, "ab cd gh kl", "mn")]
    [InlineData(10, 2, 3, "ab cd ef ij", "")]
    [InlineData(16, 0, 3, "ab cd", "ef gh ij")]
    public void MoreWindows_AreThoseBeyond(int characters, int heldOut, int more, string expected, string beyond)
    {
        CalibrationSet set = Load(Options(Write("text.txt", "abcdefghijklmnop"[..characters]), 2, 2) with { HeldOut = heldOut, MoreSamples = more });
        Assert.Equal(expected, string.Join(' ', Texts(set.Windows).Concat(Texts(set.HeldOutWindows))));
        Assert.Equal(beyond, string.Join(' ', Texts(set.MoreWindows)));
        CalibrationSet fewer = Load(Options(_folder.File("text.txt"), 2, 2) with { HeldOut = heldOut });
        Assert.Equal(beyond.Length == 0, set.Fingerprint == fewer.Fingerprint);
        set.Save(_folder.File("run/ids.jsonl"));
        Assert.Equal(beyond.Length > 0, File.Exists(_folder.File("run/tuning.ids.jsonl")));
        fewer.Save(_folder.File("run/ids.jsonl"));
        Assert.False(File.Exists(_folder.File("run/tuning.ids.jsonl")), "windows of another run stayed");
    }

    [Theory]
    [InlineData("a.json", "[\"ab\", {\"text\": \"cd\", \"n\": 1}]")]
    [InlineData("b.json", "{\"text\": \"ab\"}\n{\"text\": \"cd\"}\n")]
    [InlineData("c.json", "{\"version\": 1, \"data\": [\n{\"text\": \"ab\"}, \"cd\"]}")]
    [InlineData("d.json", "{\"text\": [\"ab\", \"cd\"], \"ids\": [1, 2]}")]
    [InlineData("e.jsonl", "{\"text\": \"ab\"}\r\n{\"text\": \"cd\"}")]
    public void JsonForms_GiveTheSameDocuments(string name, string content)
    {
        Assert.Equal("ab\u0001cd", Assert.Single(Texts(Load(Options(Write(name, content), 1, 5)).Windows)));
        Assert.Equal("ab\u0001cd", Assert.Single(Texts(Load(Options(WriteGzip(name, content), 1, 5)).Windows)));
    }

    [Fact]
    public void OtherFieldsAndSeveralFiles_AreReadInOrder()
    {
        string first = Write("a.jsonl", "{\"body\": \"ab\"}"), second = WriteGzip("b.txt", "cd");
        CalibrationOptions options = Options(first, 1, 5) with { Sources = [first, second], TextField = "body" };
        CalibrationSet set = Load(options);
        Assert.Equal("ab\u0001cd", Assert.Single(Texts(set.Windows)));
        Assert.Equal([first, second], set.Sources.Select(source => source.Name));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(second))), set.Sources[1].Sha256);
    }

    [Fact]
    public void SavedIds_GiveTheSameWindowsAgain()
    {
        CalibrationSet set = Load("abcdefghijklmnopqrstuvwxyz", samples: 3, length: 4, heldOut: 1);
        string path = _folder.File("run/calibration.ids.jsonl");
        set.Save(path);
        Assert.Equal("[97,98,99,100]\n[101,102,103,104]\n[105,106,107,108]\n", File.ReadAllText(path));
        Assert.Equal("[113,114,115,116]\n", File.ReadAllText(_folder.File("run/heldout.ids.jsonl")));
        CalibrationSet again = CalibrationLoader.Load(Options(path, 3, 4), null, Config(), cancellation: Token);
        Assert.Equal(set.Windows, again.Windows);
        Assert.NotEqual(set.Fingerprint, again.Fingerprint);
        again.Save(path);
        Assert.False(File.Exists(_folder.File("run/heldout.ids.jsonl")));
        Assert.Equal(again.Fingerprint, CalibrationLoader.Load(Options(path, 3, 4), null, Config(), cancellation: Token).Fingerprint);
        Assert.Equal(2, Directory.GetFileSystemEntries(_folder.Path).Length - (Directory.GetFiles(_folder.Path).Length - 1));
    }

    [Fact]
    public void LongTexts_AreEncodedOnlyAsFarAsNeeded()
    {
        string text = string.Concat(Enumerable.Range(0, 40_000).Select(i => (char)('a' + (i * i % 26)))).Replace("ab", "a\n");
        string path = Write("long.txt", text);
        var tokenizer = new CharacterTokenizer();
        CalibrationSet set = CalibrationLoader.Load(Options(path, 10, 100), tokenizer, Config(), null, encodedWhole: 3000, null, Token);
        Assert.Equal(Enumerable.Range(0, 10).Select(i => text.Substring(i * 100, 100)), Texts(set.Windows));
        Assert.InRange(tokenizer.Encoded, 1, 20_000);
        Assert.True(set.TokensFound < text.Length);
        set = CalibrationLoader.Load(Options(path, 400, 100), tokenizer, Config(), null, encodedWhole: 3000, null, Token);
        Assert.Equal(text, string.Concat(Texts(set.Windows)));
    }

    [Fact]
    public void LinesLongerThanTheBuffer_AreKeptWhole()
    {
        string line = new string('x', (1 << 16) - 1) + "\r\n" + new string('y', 1 << 17) + "\r\n<|endoftext|>\r\nz";
        CalibrationSet set = Load(line, samples: 1, length: (1 << 16) + 1 + (1 << 17), config: Config() with { MaxPositions = 1 << 20 });
        Assert.Equal(line[..((1 << 16) + 1 + (1 << 17))], Assert.Single(Texts(set.Windows)));
        Assert.Equal(2, Load(line + "z", samples: 1, length: (1 << 16) + 4 + (1 << 17), config: Config() with { MaxPositions = 1 << 20 }).Documents);
    }

    [Fact]
    public void FewerWindows_AreTakenWhereThatIsAllowed()
    {
        CalibrationOptions options = Options(Write("a.txt", "abcdefghijk"), 5, 4) with { TakeFewer = true };
        Assert.Equal(["abcd", "efgh"], Texts(Load(options).Windows));
        Assert.Equal(11, CalibrationLoader.CountTokens(options, new CharacterTokenizer(), Config(), cancellation: Token));
        Assert.Equal(8, CalibrationLoader.CountTokens(options with { Samples = 1, HeldOut = 1 }, new CharacterTokenizer(), Config(), cancellation: Token));
        Assert.Contains("`sequence_length`", Assert.Throws<CalibrationException>(() => Load(options with { SequenceLength = 12 })).Message);
    }

    [Fact]
    public void WhatIsGivenTwice_IsToldOf()
    {
        string first = Write("a.txt", "abcdefgh"), second = Write("b.txt", "abcdefgh");
        CalibrationSet set = Load(Options(first, 1, 12) with { Sources = [first, second] });
        Assert.Contains("hold the same text; it counts 2 times", Assert.Single(set.Warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void TooLittleText_IsAnErrorWithBothNumbers()
    {
        CalibrationException failure = Assert.Throws<CalibrationException>(() => Load("abcdefg", samples: 2, length: 4, heldOut: 1));
        Assert.Contains("has 7 tokens", failure.Message);
        Assert.Contains("need 12", failure.Message);
    }

    [Theory]
    [InlineData("a.ids", "[1, 2, 256, 3]", "token id 256")]
    [InlineData("a.ids", "[1, -1, 2, 3]", "token id -1")]
    [InlineData("a.ids", "[1, 2.5, 2, 3]", "2.5 is no token id")]
    [InlineData("a.ids", "[1, 99999999999]", "99999999999 is no token id")]
    [InlineData("a.ids", "{\"a\": 1}", "line 1 is no array")]
    [InlineData("a.jsonl", "{\"text\": \"abcd\"}\n{\"body\": \"x\"}", "line 2 has no field 'text'; it has 'body'. Name the field that holds the text by `text_field`")]
    [InlineData("a.jsonl", "{\"text\": 3}", "line 1: field 'text' is a number, 3; it must be a text")]
    [InlineData("a.jsonl", "{\"text\": ", "line 1, column 10: not sound JSON: the text ends within a value")]
    [InlineData("a.json", "[\"ab\", 3]", "element 1 (line 1) is 3")]
    [InlineData("a.json", "[\"ab\", ", "line 1, column 8: not sound JSON: the text ends within a value")]
    [InlineData("a.json", "{\"a\": [\"ab\"], \"b\": [\"cd\"]}", "2 arrays")]
    [InlineData("a.txt", "caf\u0142", "token id 322")]
    public void UnusableData_IsNamed(string name, string content, string expected)
    {
        Exception failure = Assert.ThrowsAny<Exception>(() => Load(Options(Write(name, content), 2, 4)));
        Assert.True(failure is TextSourceException or CalibrationException, failure.ToString());
        Assert.Contains(expected, failure.Message);
    }

    [Fact]
    public void DamagedFiles_AreNamed()
    {
        string latin = Write("latin.txt", [0x63, 0x61, 0x66, 0xE9, 0x0A]);
        Assert.Contains("UTF-8", Assert.Throws<TextSourceException>(() => Load(Options(latin, 1, 2))).Message);
        string notGzip = Write("a.txt.gz", "plain text");
        Assert.Contains("gzip", Assert.Throws<TextSourceException>(() => Load(Options(notGzip, 1, 2))).Message);
        Assert.Contains("is not a file", Assert.Throws<TextSourceException>(() => Load(Options(_folder.File("none"), 1, 2))).Message);
    }

    [Fact]
    public void UnusableOptions_AreNamed()
    {
        CalibrationOptions options = Options(Write("a.txt", "abcdefgh"), 1, 4);
        Assert.Contains("samples = 0", Message(options with { Samples = 0 }));
        Assert.Contains("heldOut = -1", Message(options with { HeldOut = -1 }));
        Assert.Contains("sequenceLength = 1", Message(options with { SequenceLength = 1 }));
        Assert.Contains("1024 positions", Message(options with { SequenceLength = 2048 }));
        Assert.Contains("more than fit", Message(options with { Samples = int.MaxValue }));
        Assert.Contains("No calibration source", Message(options with { Sources = [] }));
        Assert.Contains("stands alone", Message(options with { Sources = ["self", options.Sources[0]] }));
        Assert.Contains("full-precision model", Message(options with { Sources = ["self"] }));
        Assert.Contains("begin-of-text", Message(options with { AddBos = AddBos.Yes }));

        string Message(CalibrationOptions bad) => Assert.Throws<CalibrationException>(() => Load(bad)).Message;
    }

    [Fact]
    public void TextWithoutATokenizer_IsAnError() =>
        Assert.Contains("tokenizer", Assert.Throws<CalibrationException>(() => CalibrationLoader.Load(Options(Write("a.txt", "abcd"), 1, 4), null, Config(), cancellation: Token)).Message);

    [Fact]
    public void Cancellation_EndsReading() => Assert.Throws<OperationCanceledException>(() => CalibrationLoader.Load(
        Options(Write("a.txt", "abcd"), 1, 4), new CharacterTokenizer(), Config(), cancellation: new CancellationToken(true)));

    internal static DecoderConfig Config() => new()
    {
        ModelType = "llama",
        HiddenSize = 16,
        Layers = 2,
        Heads = 4,
        KeyValueHeads = 2,
        HeadSize = 4,
        IntermediateSize = 24,
        VocabularySize = 256,
        MaxPositions = 1024,
        NormEpsilon = 1e-5f,
        Activation = Activation.Silu,
        Rope = new RopeConfig { Theta = 10000, RotatedSize = 4, MaxPositions = 1024 },
        TiedEmbeddings = true,
    };

    private static CalibrationOptions Options(string path, int samples, int length) => new() { Sources = [path], Samples = samples, SequenceLength = length };

    private static CalibrationSet Load(CalibrationOptions options, ITokenizer? tokenizer = null) =>
        CalibrationLoader.Load(options, tokenizer ?? new CharacterTokenizer(), Config(), cancellation: Token);

    private static IEnumerable<string> Texts(int[][] windows) => windows.Select(window => string.Concat(window.Select(id => (char)id)));

    private CalibrationSet Load(string text, int samples, int length, int heldOut = 0, ITokenizer? tokenizer = null, DecoderConfig? config = null) =>
        CalibrationLoader.Load(Options(Write("text.txt", text), samples, length) with { HeldOut = heldOut }, tokenizer ?? new CharacterTokenizer(), config ?? Config(), cancellation: Token);

    private string Write(string name, string content) => Write(name, Encoding.UTF8.GetBytes(content));

    private string WriteGzip(string name, string content)
    {
        using var bytes = new MemoryStream();
        using (var gzip = new GZipStream(bytes, CompressionLevel.Fastest)) gzip.Write(Encoding.UTF8.GetBytes(content));
        return Write(name + ".gz", bytes.ToArray());
    }

    private string Write(string name, byte[] content)
    {
        File.WriteAllBytes(_folder.File(name), content);
        return _folder.File(name);
    }
}
