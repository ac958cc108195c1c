using System.Globalization;
using System.Text.Json;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Tests.Quantization;
using LowRankQuant.Tests.Vocabulary;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Whole runs of schemes on a small trained model, the program from options to report, against figures of an independent implementation.</summary>
public sealed class SchemeFigureTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("w8a8-static", "w8a8", "--transform", "none")]
    [InlineData("w8a8-static-nokv", "w8a8", "--transform", "none", "--cache", "off")]
    [InlineData("w8a8-static-after", "w8a8", "--transform", "none", "--cache", "8:token-head", "--keys", "after")]
    [InlineData("w8a8-smooth-static", "w8a8", "--transform", "smoothquant:sites=norms")]
    [InlineData("w8a8-smooth-all-static", "w8a8")]
    [InlineData("w8a8-dynamic", "w8a8-dynamic")]
    [InlineData("w8a8-dynamic-sym", "w8a8-dynamic", "--activations", "8:token:symmetric")]
    [InlineData("w8a8-dynamic-after", "w8a8-dynamic", "--cache", "8:token-head", "--keys", "after")]
    [InlineData("w4a8", "w4a8")]
    [InlineData("w4a8-smooth", "w4a8", "--transform", "smoothquant:sites=norms")]
    public async Task RoundToNearestHasTheReferencesLossAndDivergence(string key, string scheme, params string[] options)
    {
        using JsonDocument figures = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "schemes", "eval-tinystories.json")));
        JsonElement expected = figures.RootElement.GetProperty(key).GetProperty("f64");
        double loss = expected.GetProperty("nll").GetDouble(), divergence = expected.GetProperty("kl").GetDouble();
        RunReport report = await VocabularyLab.Quantize(
            TestData.Path("models", "tinystories-656k"), _folder.File("out"),
            [
                "--scheme", scheme, "--method", "rtn", "--symmetric", "false", "--scale-dtype", "fp32", "--calibration", Ids(), "--calibration-format", "ids", "--samples", "64",
                "--held-out", "64", "--sequence-length", "128", .. options,
            ]);
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{key}: loss {report.Result!.NegativeLogLikelihood:F5}, reference {loss:F5}; divergence {report.Result.KlDivergence:F5}, reference {divergence:F5}"));
        Assert.Equal(loss, report.Result.NegativeLogLikelihood!.Value, 4e-3);
        Assert.Equal(divergence, report.Result.KlDivergence!.Value, 0.03 * divergence);
    }

    // What is measured on are the held-out windows, which lie at the end of a text.
    private string Ids()
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "lrq", "model-tinystories-656k.safetensors"));
        string file = _folder.File("ids.jsonl");
        File.WriteAllLines(file, new[] { "calib_ids", "eval_ids" }.SelectMany(name => GoldenBlockTests.Read<int>(golden, name).Chunk((int)golden.ShapeOf(name)[1])).Select(window => $"[{string.Join(",", window)}]"));
        return file;
    }
}
