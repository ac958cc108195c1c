using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>What a run holds does not grow with the number of blocks that are done: the peak of every block, by the kernel's high-water mark, in a process of its own.</summary>
public sealed class FlatMemoryTests : IDisposable
{
    private const int Layers = 8;
    private const int Measured = 7;
    private const int Hidden = 512;
    private const int Intermediate = 2048;

    private const double Allowed = 1.02;

    // What waits for the collector depends on what else the machine does; what a block leaves behind is there every time.
    private const int Runs = 3;

    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("flrq", "--bits", "4", "--group-size", "128", "--epochs", "0")]
    [InlineData("lrq", "--bits", "3", "--start", "minmax", "--rank", "32", "--iterations", "3")]
    public async Task PeaksDoNotGrowFromBlockToBlock(string method, params string[] options)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux tells the peak memory of a part of the work.");
        string source = _folder.File("source");
        WriteModel(source);
        var found = new List<string>();
        for (int i = 0; i < Runs; i++)
        {
            long[] peaks = await Peaks(source, _folder.File($"out{i}"), method, options);
            if (peaks.Skip(3).Max() <= peaks[3] * Allowed) return;
            found.Add(string.Join(", ", peaks.Select(peak => $"{peak / 1048576.0:F1}")));
        }
        Assert.Fail($"{method}: {string.Join("; ", found)} MiB");
    }

    private static async Task<long[]> Peaks(string source, string output, string method, string[] options)
    {
        using var run = new LrqProcess(["quantize", source, "--method", method, .. options, "--calibration", Path.Combine(TestData.Demo, "calibration.txt"), "--samples", "6", "--held-out", "2", "--sequence-length", "128", "--blocks", $"{Measured}", "--threads", "1", "--out", output]);
        CliResult result = await run.Finish();
        Assert.True(result.Code == 0, result.Error);
        return [.. Enumerable.Range(0, Measured).Select(block => Path.Combine(output, ".lrq", "blocks", $"block-{block:D5}.json")).Select(file => (long)JsonNode.Parse(File.ReadAllBytes(file))!["peakMemoryBytes"]!)];
    }

    public void Dispose() => _folder.Dispose();

    private static void WriteModel(string folder)
    {
        var tensors = new List<PendingTensor>();
        JsonObject config = JsonNode.Parse(File.ReadAllBytes(Path.Combine(TestData.Demo, "config.json")))!.AsObject();
        int vocabulary = (int)config["vocab_size"]!, heads = Hidden / (int)config["head_dim"]!;
        (config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"], config["num_attention_heads"], config["num_key_value_heads"]) = (Hidden, Intermediate, Layers, heads, heads);
        Add("model.embed_tokens.weight", vocabulary, Hidden);
        for (int i = 0; i < Layers; i++)
        {
            foreach (string norm in new[] { "input_layernorm", "post_attention_layernorm" })
                tensors.Add(PendingTensor.FromSingles($"model.layers.{i}.{norm}.weight", SafetensorsType.BF16, [Hidden], [.. Enumerable.Repeat(1f, Hidden)]));
            foreach (string part in new[] { "q", "k", "v", "o" }) Add($"model.layers.{i}.self_attn.{part}_proj.weight", Hidden, Hidden);
            foreach (string part in new[] { "gate", "up" }) Add($"model.layers.{i}.mlp.{part}_proj.weight", Intermediate, Hidden);
            Add($"model.layers.{i}.mlp.down_proj.weight", Hidden, Intermediate);
        }
        tensors.Add(PendingTensor.FromSingles("model.norm.weight", SafetensorsType.BF16, [Hidden], [.. Enumerable.Repeat(1f, Hidden)]));
        SafetensorsFolderWriter.Write(folder, tensors);
        File.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
        foreach (string file in new[] { "tokenizer.json", "tokenizer_config.json" }) File.Copy(Path.Combine(TestData.Demo, file), Path.Combine(folder, file));

        void Add(string name, int rows, int columns) => tensors.Add(new PendingTensor(name, SafetensorsType.BF16, [rows, columns], sink =>
        {
            var random = new SeededRandom((ulong)name.Length + (ulong)name[^10] + (ulong)rows);
            var values = new float[rows * columns];
            foreach (ref float value in values.AsSpan()) value = (float)(((2 * random.NextUniform()) - 1) * Math.Sqrt(3.0 / columns));
            sink.WriteSingles(values);
        }));
    }
}
