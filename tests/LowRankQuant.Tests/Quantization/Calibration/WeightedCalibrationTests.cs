using System.Text;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Tests.Quantization.Texts;

namespace LowRankQuant.Tests.Quantization.Calibration;

/// <summary>Several texts by weight, folders, and the same windows whatever format the rows come in.</summary>
public sealed class WeightedCalibrationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(new[] { 0.7, 0.3 }, 10, "ABAAABAABA", new[] { 7, 3 })]
    [InlineData(new[] { 1.0, 1.0 }, 5, "ABABA", new[] { 3, 2 })]
    [InlineData(new[] { 2.0, 1.0, 1.0 }, 8, "ABCAABCA", new[] { 4, 2, 2 })]
    [InlineData(new[] { 99.0, 1.0 }, 3, "AAA", new[] { 3, 0 })]
    public void WindowsAreDealtByWeight(double[] weights, int windows, string order, int[] counts)
    {
        int[] dealt = WindowShares.Deal(weights, windows);
        Assert.Equal(order, string.Concat(dealt.Select(text => (char)('A' + text))));
        Assert.Equal(counts, WindowShares.Count(dealt, weights.Length));
    }

    [Fact]
    public void EveryTextGivesWindowsByItsWeight()
    {
        TextInput a = Write("a.txt", new string('a', 100)), b = Write("b.txt", new string('b', 100));
        CalibrationOptions options = new() { Sources = [a with { Weight = 0.7 }, b with { Weight = 0.3 }], Samples = 10, HeldOut = 2, SequenceLength = 4 };
        CalibrationSet set = Load(options);
        Assert.Equal("abaaabaaba", string.Concat(set.Windows.Select(window => (char)window[0])));
        Assert.Equal("ab", string.Concat(set.HeldOutWindows.Select(window => (char)window[0])));
        Assert.Equal([a.Path, b.Path], set.Sources.Select(source => source.Name));
        Assert.Equal([(0.7, 7, 1), (0.3, 3, 1)], set.Shares.Select(share => (Math.Round(share.Weight, 3), share.Windows, share.HeldOut)));
        Assert.EndsWith("b.txt 0.3: 3 + 1 held-out", set.Shares[1].Describe(), StringComparison.Ordinal);
        Assert.Equal(set.Fingerprint, Load(options).Fingerprint);
        // Only ratios count.
        Assert.Equal(set.Fingerprint, Load(options with { Sources = [a with { Weight = 7 }, b with { Weight = 3 }] }).Fingerprint);
        Assert.Equal(12 * 4, CalibrationLoader.CountTokens(options, new CharacterTokenizer(), CalibrationLoaderTests.Config(), cancellation: TestContext.Current.CancellationToken));
    }

    [Fact]
    public void ATextThatIsTooShortForItsWeightIsNamed()
    {
        TextInput a = Write("a.txt", new string('a', 100)), b = Write("b.txt", new string('b', 11));
        CalibrationOptions options = new() { Sources = [a with { Weight = 1 }, b with { Weight = 1 }], Samples = 10, SequenceLength = 4 };
        Assert.Contains($"'{b.Path}' has 11 tokens; 5 samples", Assert.Throws<CalibrationException>(() => Load(options)).Message, StringComparison.Ordinal);
        Assert.Equal("ababa", string.Concat(Load(options with { TakeFewer = true }).Windows.Select(window => (char)window[0])));
        // Five windows: two of b, three of a.
        Assert.Equal(22, CalibrationLoader.CountTokens(options, new CharacterTokenizer(), CalibrationLoaderTests.Config(), cancellation: TestContext.Current.CancellationToken));
        Assert.Contains("some texts have a weight", Assert.Throws<CalibrationException>(() => Load(options with { Sources = [a, b with { Weight = 1 }] })).Message, StringComparison.Ordinal);
        Assert.Contains("must be a number above 0", Assert.Throws<CalibrationException>(() => Load(options with { Sources = [a with { Weight = -1 }] })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFolderIsReadAsItsFilesBehindEachOther()
    {
        Write("c/b.txt", "bbbb");
        Write("c/a.txt", "aaaa");
        TextInput end = Write("z.txt", "zzzz");
        CalibrationSet set = Load(new CalibrationOptions { Sources = [_folder.File("c"), end], Samples = 3, SequenceLength = 4 });
        Assert.Equal("aaaabbbbzz", string.Concat(set.Windows.SelectMany(window => window).Select(id => (char)id).Where(char.IsAsciiLetter)));
        Assert.Equal(["a.txt", "b.txt", "z.txt"], set.Sources.Select(source => Path.GetFileName(source.Name)));
        Assert.Empty(set.Shares);
    }

    [Fact]
    public void TheSameRowsGiveTheSameWindowsInEveryFormat()
    {
        string[] rows = [.. Enumerable.Range(0, 30).Select(i => $"row {i}, \"quoted\"")];
        var files = new Dictionary<string, byte[]>
        {
            ["a.jsonl"] = Encoding.UTF8.GetBytes(string.Join('\n', rows.Select(row => System.Text.Json.JsonSerializer.Serialize(new { text = row })))),
            ["a.csv"] = Encoding.UTF8.GetBytes("text\n" + string.Join('\n', rows.Select(row => $"\"{row.Replace("\"", "\"\"", StringComparison.Ordinal)}\""))),
            ["a.parquet"] = TableFiles.Parquet(rows.Select(row => new TableFiles.TextRow { Text = row }).ToList(), rowGroup: 7),
        };
        files["b.jsonl.gz"] = TableFiles.Gzip(files["a.jsonl"]);
        files["b.csv.zst"] = TableFiles.Zstd(files["a.csv"]);
        files["b.parquet.zst"] = TableFiles.Zstd(files["a.parquet"]);
        var prints = new HashSet<string>();
        foreach ((string name, byte[] bytes) in files)
        {
            File.WriteAllBytes(_folder.File(name), bytes);
            prints.Add(Load(new CalibrationOptions { Sources = [_folder.File(name)], Samples = 30, HeldOut = 2, SequenceLength = 10 }).Fingerprint);
        }
        Assert.Single(prints);
    }

    private static CalibrationSet Load(CalibrationOptions options) =>
        CalibrationLoader.Load(options, new CharacterTokenizer(), CalibrationLoaderTests.Config(), cancellation: TestContext.Current.CancellationToken);

    private TextInput Write(string name, string content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder.File(name))!);
        File.WriteAllText(_folder.File(name), content);
        return _folder.File(name);
    }
}
