using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Tests.Quantization.Calibration;

/// <summary>Calibration windows of real texts by real tokenizers.</summary>
public sealed class RealCalibrationTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1 << 22)]
    [InlineData(50_000)]
    public void Windows_AreTheFirstIdsOfTheWholeText(int encodedWhole)
    {
        string folder = TestData.Path("models", "tinystories-656k"), file = TestData.Path("data", "wikitext-2", "wikitext2_train_5k.txt");
        ITokenizer tokenizer = TokenizerJson.Load(Path.Combine(folder, "tokenizer.json"));
        using HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.Open(folder);
        var options = new CalibrationOptions { Sources = [file], Samples = 96, SequenceLength = 512, AddBos = AddBos.No };
        CalibrationSet set = CalibrationLoader.Load(options, tokenizer, checkpoint.Config, null, encodedWhole, null, Token);
        int[] whole = tokenizer.Encode(File.ReadAllText(file), addSpecialTokens: false);
        Assert.Equal(1, set.Documents);
        for (int i = 0; i < 96; i++) Assert.Equal(whole[(i * 512)..((i + 1) * 512)], set.Windows[i]);
    }

    [Fact]
    public void PublishedJsonLines_AreRead()
    {
        string[] files = [.. new[] { "c4-sample.01.json.gz", "c4-sample.02.json.gz", "c4_100_domains_guardian.jsonl.gz" }.Select(name => TestData.Path("data", "c4", name))];
        CalibrationSet set = Demo(new CalibrationOptions { Sources = [.. files], Samples = 80, SequenceLength = 256 });
        ITokenizer tokenizer = TokenizerJson.Load(Path.Combine(TestData.Demo, "tokenizer.json"));
        Assert.StartsWith("The woman who died after falling from a bridge", tokenizer.Decode(set.Windows[0], skipSpecialTokens: true));
        Assert.True(set.Documents > 20, $"{set.Documents} documents");
        Assert.InRange(set.Windows.Sum(window => window.Count(id => id == 0)), 20, set.Documents);
    }

    [Fact]
    public void ArraysOfStrings_AreRead()
    {
        var options = new CalibrationOptions { Sources = [TestData.Path("data", "tinystories", "tinystories_1000.json")], Samples = 20, SequenceLength = 256 };
        Assert.InRange(Demo(options).Documents, 10, 100);
    }

    [Fact]
    public void TheDemosStories_AreDocuments()
    {
        CalibrationSet set = Demo(new CalibrationOptions { Sources = [Path.Combine(TestData.Demo, "calibration.txt")], Samples = 100, SequenceLength = 256 });
        Assert.InRange(set.Documents, 100, 153);
        // Reading ends within the last document, so every end token between documents lies in a window.
        Assert.Equal(set.Documents - 1, set.Windows.Sum(window => window.Count(id => id == 0)));
    }

    private static CalibrationSet Demo(CalibrationOptions options)
    {
        using HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.Open(TestData.Demo);
        return CalibrationLoader.Load(options, TokenizerJson.Load(Path.Combine(TestData.Demo, "tokenizer.json")), checkpoint.Config, cancellation: Token);
    }
}
