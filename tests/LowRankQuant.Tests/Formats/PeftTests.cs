using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Formats;

public sealed class PeftTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("pattern")]
    [InlineData("padded")]
    [InlineData("uniform")]
    [InlineData("uniform-rslora-f16")]
    public void BaseAndAdapterGiveTheMergedWeightsOfPeft(string name)
    {
        string path = TestData.Path("golden", "compressed-tensors", "base");
        using ICheckpoint merged = CheckpointOpener.Open(path, TestData.Path("golden", "peft", name));
        var golden = new MiniSafetensors(TestData.Path("golden", "peft", name + ".golden.safetensors"));
        int compared = 0;
        foreach (string tensor in golden.Names.Where(tensor => tensor.StartsWith("merged.", StringComparison.Ordinal)))
        {
            float[] expected = golden.Floats(tensor), actual = new float[expected.Length];
            string module = tensor["merged.".Length..];
            merged.Read(module.EndsWith(".weight", StringComparison.Ordinal) ? module : module + ".weight", actual);
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 2e-6f);
            compared++;
        }
        Assert.True(compared >= 2);
        Assert.Contains("with adapter", merged.Kind);
    }

    [Theory]
    [InlineData(AdapterForm.Pattern, "pattern", null)]
    [InlineData(AdapterForm.Padded, "padded", 16)]
    public void BothFormsAreTheBytesOfPeft(AdapterForm form, string expected, int? paddedRank)
    {
        string written = _folder.File("adapter");
        using PeftAdapter pattern = PeftAdapter.Open(TestData.Path("golden", "peft", "pattern")), golden = PeftAdapter.Open(TestData.Path("golden", "peft", expected));
        AdapterModule[] modules = [.. golden.Modules.Select(module =>
        {
            (int rows, int columns) = golden.ShapeOf(module);
            LowRankBranch? branch = pattern.Read(module);
            return new AdapterModule(module, rows, columns, branch?.Rank ?? 0, () => branch!.A, () => branch!.B);
        })];
        PeftAdapterWriter.Write(written, modules, SafetensorsType.F32, form, "base", 32, paddedRank);
        string file = PeftAdapterWriter.TensorFile;
        Assert.Equal(File.ReadAllBytes(TestData.Path("golden", "peft", expected, file)), File.ReadAllBytes(Path.Combine(written, file)));
        Assert.Throws<ArgumentException>(() => PeftAdapterWriter.Write(written, modules, SafetensorsType.F32, form, "base", 32, 2));
    }

    [Theory]
    [InlineData(AdapterForm.Pattern)]
    [InlineData(AdapterForm.Padded)]
    public void WhatIsWrittenIsReadBack(AdapterForm form)
    {
        string path = TestData.Path("golden", "peft", "pattern"), written = _folder.File("adapter");
        using PeftAdapter original = PeftAdapter.Open(path);
        List<AdapterModule> modules = [.. original.Modules.Select(module =>
        {
            LowRankBranch branch = original.Read(module)!;
            (int rows, int columns) = original.ShapeOf(module);
            return new AdapterModule(module, rows, columns, branch.Rank, () => branch.A, () => branch.B);
        })];
        modules.Add(new AdapterModule("model.layers.0.self_attn.o_proj", 64, 64, 0, () => [], () => []));
        PeftAdapterWriter.Write(written, modules, SafetensorsType.F32, form, "base", 8);
        using PeftAdapter back = PeftAdapter.Open(written);
        Assert.Equal(form == AdapterForm.Padded ? modules.Count : modules.Count - 1, back.Modules.Count);
        foreach (string module in original.Modules)
        {
            (int rows, int columns) = original.ShapeOf(module);
            LowRankBranch branch = back.Read(module)!;
            Assert.Equal(8, branch.BitsPerFactor);
            float[] expected = new float[rows * columns], actual = new float[rows * columns];
            original.Read(module)!.AddTo(expected);
            branch.AddTo(actual);
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-6f);
        }
    }

    [Fact]
    public void HostileAdaptersAreRefused()
    {
        Refused("peft_type", json => json["peft_type"] = "IA3");
        Refused("use_dora", json => json["use_dora"] = true);
        Refused("rank", json => json["r"] = 3);
        Refused("lora_alpha", json => json.Remove("lora_alpha"));
        Refused("pattern", json => json["rank_pattern"] = new JsonObject { ["(unclosed"] = 1 });
        CheckpointFormatException missing = Assert.Throws<CheckpointFormatException>(() => PeftAdapter.Open(_folder.File("nowhere")));
        Assert.Contains("adapter_config.json", missing.Message);
    }

    private void Refused(string what, Action<JsonObject> alter)
    {
        string source = TestData.Path("golden", "peft", "uniform"), folder = Directory.CreateDirectory(_folder.File(Guid.NewGuid().ToString("N"))).FullName;
        File.Copy(Path.Combine(source, PeftAdapterWriter.TensorFile), Path.Combine(folder, PeftAdapterWriter.TensorFile));
        JsonObject json = JsonNode.Parse(File.ReadAllText(Path.Combine(source, PeftAdapterWriter.ConfigFile)))!.AsObject();
        alter(json);
        File.WriteAllText(Path.Combine(folder, PeftAdapterWriter.ConfigFile), json.ToJsonString());
        CheckpointFormatException refused = Assert.Throws<CheckpointFormatException>(() => PeftAdapter.Open(folder).Dispose());
        Assert.Contains(what, refused.Message);
    }
}
