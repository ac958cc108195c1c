using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.EndToEnd;
using LowRankQuant.Tests.Models;

namespace LowRankQuant.Tests.Containers;

/// <summary>Adapters by themselves: GGUF LoRA files put on models, and adapters of both kinds compared with the run they were made from.</summary>
public sealed class AdapterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("lora-alpha0.gguf", "logits-lora-alpha0-on-f32-x1.f32", 1e-5)]
    [InlineData("lora-alpha8.gguf", "logits-lora-alpha8-on-f32-x1.f32", 1e-5)]
    [InlineData("lora-alpha0-f16.gguf", "logits-lora-alpha0-on-f32-x1.f32", 1e-3)]
    public void LogitsWithAGgufAdapterAreThoseOfLlamaCpp(string adapter, string logits, double error)
    {
        string Golden(string file) => TestData.Path("golden", "gguf", "tinystories-656k", file);
        using JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(Golden("report.json")));
        int[] ids = [.. report.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
        float[] expected = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Golden(logits))).ToArray();
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        // On the file of the engine, and on the Hugging Face folder, whose rows of q and k have another order than the adapter's.
        foreach (string path in new[] { Golden("model-f32.gguf"), TestData.Path("models", "tinystories-656k") })
        {
            using CausalModel model = ModelSource.Open(path, device, Golden(adapter));
            Assert.InRange(ForwardTrace.RelativeError(expected, ForwardTrace.Of(model, ids).Logits), 0, error);
            using CausalModel bare = ModelSource.Open(path, device);
            Assert.True(ForwardTrace.RelativeError(expected, ForwardTrace.Of(bare, ids).Logits) > 0.01, "the adapter changes nothing");
        }
    }

    [Fact]
    public async Task ARunMeasuresTheSameFromItsGgufFileAndAdapter()
    {
        string run = await ExportTests.RunWithBranches(_folder, 3, 12), output = _folder.File("model.gguf");
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "gguf", "--embedding", "f32", "--out", output)).Code);
        double whole = await Perplexity(run), adapted = await Perplexity(output, "--adapter", _folder.File("model.lora.gguf")), bare = await Perplexity(output);
        Assert.Equal(whole, adapted, 1e-6 * whole);
        Assert.NotEqual(whole, bare, 1e-5 * whole);
    }

    [Fact]
    public async Task AnAdapterIsComparedWithTheBranchesOfItsRun()
    {
        string run = await ExportTests.RunWithBranches(_folder, 3, 12), gguf = _folder.File("model.gguf"), lora = _folder.File("model.lora.gguf"), gptq = _folder.File("gptq");
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "gguf", "--out", gguf)).Code);
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "gptq", "--adapter", "peft-padded", "--out", gptq)).Code);
        foreach ((string adapter, string kind) in new[] { (lora, "GGUF LoRA adapter"), (Path.Combine(gptq, "adapter"), "PEFT adapter"), (Path.Combine(run, "adapter"), "PEFT adapter") })
        {
            CliResult same = await Lrq.Run("verify", adapter, "--against", run, "--json");
            Assert.True(same.Code == 0, same.Out + same.Error);
            JsonNode report = JsonNode.Parse(same.Out)!;
            Assert.Equal((kind, true), (report["kind"]!.ToString(), (bool)report["same"]!));
            Assert.True((int)report["branches"]! >= 2);
        }
        CliResult alone = await Lrq.Run("verify", lora);
        Assert.Equal(2, alone.Code);
        Assert.Contains("--against", alone.Error, StringComparison.Ordinal);
        CliResult model = await Lrq.Run("inspect", lora);
        Assert.Equal(1, model.Code);
        Assert.Contains("holds an adapter and no model", model.Error, StringComparison.Ordinal);

        // One bit of one factor, in the file alone and beside its model; then no file at all.
        byte[] bytes = File.ReadAllBytes(lora), factor;
        using (GgufFile file = GgufFile.Open(lora)) factor = file.GetBytes("blk.1.attn_q.weight.lora_a", 0, 512).ToArray();
        bytes[bytes.AsSpan().IndexOf(factor) + (2 * 5)] ^= 1;
        File.WriteAllBytes(lora, bytes);
        foreach (string path in new[] { lora, gguf })
        {
            CliResult changed = await Lrq.Run("verify", path, "--against", run);
            Assert.Equal(1, changed.Code);
            Assert.Contains("different: model.layers.1.self_attn.q_proj: lora_A differs at [0, 5]", changed.Out, StringComparison.Ordinal);
        }
        File.Delete(lora);
        CliResult missing = await Lrq.Run("verify", gguf, "--against", run);
        Assert.Equal(0, missing.Code);
        Assert.Contains("GGUF LoRA", missing.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task BranchesOfAnotherRunAreNotTheSame()
    {
        string run = await ExportTests.RunWithBranches(_folder, 3), other = _folder.File("other");
        float[] a = [.. Enumerable.Repeat(0.5f, 256)], b = [.. Enumerable.Repeat(0.25f, 256)];
        PeftAdapterWriter.Write(
            other, [new AdapterModule("model.layers.2.self_attn.o_proj", 256, 256, 1, () => a, () => b)], SafetensorsType.F32, AdapterForm.Pattern, "..", 32);
        CliResult result = await Lrq.Run("verify", other, "--against", run);
        Assert.Equal(1, result.Code);
        Assert.Contains("model.layers.0.self_attn.q_proj: the container has no branch here", result.Out, StringComparison.Ordinal);
        Assert.Contains("model.layers.2.self_attn.o_proj: the run has no branch here", result.Out, StringComparison.Ordinal);
        Directory.Delete(Path.Combine(run, "adapter"), recursive: true);
        CliResult none = await Lrq.Run("verify", other, "--against", run);
        Assert.Equal(1, none.Code);
        Assert.Contains("the run has no low-rank branch", none.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("blk.0.attn_q.weight", "general.architecture", "gpt2", "'llama' is read")]
    [InlineData("blk.0.attn_q.weight", "adapter.type", "ia3", "'lora' is read")]
    [InlineData("blk.0.attn_q.weight", "general.type", "model", "'adapter' is read")]
    [InlineData("token_embd.weight", null, null, "belongs to no linear weight of the model")]
    [InlineData("blk.9.attn_q.weight", null, null, "belongs to no linear weight of the model")]
    [InlineData("blk.0.attn_norm.weight", null, null, "belongs to no linear weight of the model")]
    [InlineData("output.weight", null, null, "belongs to no linear weight of the model")]
    [InlineData("lonely", null, null, "its partner is missing")]
    [InlineData("rank", null, null, "factors of rank 4 and 3")]
    [InlineData("rows", null, null, "rows; the weight has 256")]
    [InlineData("suffix", null, null, "end in .lora_a or .lora_b")]
    [InlineData("nan", null, null, "every value must be finite")]
    public void UnsoundAdaptersAreRefusedByTensorOrKey(string tensor, string? key, string? value, string message)
    {
        var metadata = new Dictionary<string, GgufValue>(StringComparer.Ordinal)
        {
            ["general.type"] = GgufValue.Of("adapter"),
            ["general.architecture"] = GgufValue.Of("llama"),
            ["adapter.type"] = GgufValue.Of("lora"),
        };
        if (key is not null) metadata[key] = GgufValue.Of(value!);
        string name = tensor.Contains('.', StringComparison.Ordinal) ? tensor : "blk.0.attn_q.weight";
        List<PendingGgufTensor> tensors =
        [
            Zeros(name + ".lora_a", 4, 256, tensor == "nan" ? float.NaN : 0),
            Zeros(tensor == "suffix" ? name : name + ".lora_b", tensor == "rows" ? 128 : 256, tensor == "rank" ? 3 : 4, 0),
        ];
        if (tensor == "lonely") tensors.RemoveAt(1);
        string path = _folder.File("lora.gguf");
        GgufWriter.Write(path, [.. metadata], tensors, TestContext.Current.CancellationToken);
        CheckpointFormatException refused = Assert.Throws<CheckpointFormatException>(() =>
        {
            using ICheckpoint model = CheckpointOpener.Open(TestData.Demo, path);
            model.Read("model.layers.0.self_attn.q_proj.weight", new float[256 * 256]);
        });
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatIsNoAdapterIsRefusedByName()
    {
        Assert.Contains("does not exist", Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(TestData.Demo, _folder.File("none.gguf"))).Message, StringComparison.Ordinal);
        string text = Path.Combine(TestData.Demo, "config.json");
        Assert.Contains("is not an adapter", Assert.Throws<UnsupportedModelException>(() => CheckpointOpener.Open(TestData.Demo, text)).Message, StringComparison.Ordinal);
    }

    private static PendingGgufTensor Zeros(string name, int rows, int columns, float first)
    {
        float[] values = new float[rows * columns];
        values[0] = first;
        return PendingGgufTensor.FromSingles(name, GgmlType.F32, [rows, columns], values);
    }

    private static async Task<double> Perplexity(string model, params string[] more)
    {
        string text = Path.Combine(TestData.Demo, "evaluation.txt");
        CliResult result = await Lrq.Run(["eval", model, "--text", text, "--windows", "1", "--context", "128", "--threads", "1", "--json", .. more]);
        Assert.True(result.Code == 0, result.Error);
        return (double)JsonNode.Parse(result.Out.TrimEnd().Split('\n')[^1])!["perplexity"]!;
    }
}
