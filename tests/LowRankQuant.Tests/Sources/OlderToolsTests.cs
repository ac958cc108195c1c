using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Tests.Containers;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Sources;

/// <summary>Folders as older tools write them, and quantized folders as sources.</summary>
public sealed class OlderToolsTests
{
    private const string Module = "model.layers.0.self_attn.q_proj";

    [Theory]
    [InlineData("""{"bits": 4, "group_size": 32, "damp_percent": 0.01, "desc_act": false, "true_sequential": true, "model_name_or_path": null, "model_file_base_name": "gptq_model-4bit-32g"}""")]
    [InlineData("""{"bits": 4, "group_size": 32, "sym": true, "quant_method": "gptqmodel", "checkpoint_format": "gptq"}""")]
    [InlineData("""{"wbits": 4, "groupsize": 32, "quant_method": "GPTQ"}""")]
    public void AFileOfAutoGptqAloneDescribesTheModel(string json)
    {
        using var folder = new TemporaryFolder();
        string copy = Copy(folder, "gptq", "w4-g32-sym-v1");
        Edit(copy, "config.json", config => config.Remove("quantization_config"));
        File.WriteAllText(Path.Combine(copy, "quantize_config.json"), json);
        File.Move(Path.Combine(copy, "model.safetensors"), Path.Combine(copy, "gptq_model-4bit-32g.safetensors"));
        Same(TestData.Path("golden", "gptq", "w4-g32-sym-v1"), copy);
    }

    [Theory]
    [InlineData("""{"zero_point": true, "q_group_size": 32, "w_bit": 4, "version": "GEMM"}""")]
    [InlineData("""{"zero_point": true, "q_group_size": 32, "w_bit": 4, "version": "GEMM", "quant_method": "awq", "modules_to_not_convert": null}""")]
    public void AFileOfAutoAwqAloneDescribesTheModel(string json)
    {
        using var folder = new TemporaryFolder();
        string copy = Copy(folder, "awq", "w4-g32");
        Edit(copy, "config.json", config => config.Remove("quantization_config"));
        File.Delete(Path.Combine(copy, "quantize_config.json"));
        File.WriteAllText(Path.Combine(copy, "quant_config.json"), json);
        Same(TestData.Path("golden", "awq", "w4-g32"), copy);
    }

    [Theory]
    [InlineData("w4-g32-sym", "intel/auto-round", "auto_round:auto_gptq")]
    [InlineData("w4-g32-sym", "intel/auto-round", null)]
    [InlineData("w4-g32-sym", "auto-round:gptq", null)]
    [InlineData("w4-g32-sym", "auto_round:auto_gptq", null)]
    [InlineData("w4-g32-sym", "AutoRound", "auto_gptq")]
    [InlineData("w4-g32-sym", "auto-round", "auto-round:gptq")]
    [InlineData("w4-g32-asym", "intel/auto-round", "autoround:awq")]
    [InlineData("w4-g32-asym", "auto_round:auto_awq", null)]
    [InlineData("w2-g32-asym", "intel/auto-round", "auto_round:gptqmodel")]
    public void SpellingsOfAutoRoundAreOne(string name, string method, string? packing)
    {
        using var folder = new TemporaryFolder();
        string copy = Copy(folder, "autoround", name);
        File.Delete(Path.Combine(copy, "quantization_config.json"));
        Edit(copy, "config.json", config =>
        {
            JsonObject quantization = config["quantization_config"]!.AsObject();
            quantization["quant_method"] = method;
            quantization.Remove("packing_format");
            if (packing is not null) quantization["packing_format"] = packing;
        });
        Same(TestData.Path("golden", "autoround", name), copy);
    }

    [Theory]
    [InlineData("w4-g32-sym-v2", "gptq", "stored as in gptq_v2")]
    [InlineData("w4-g32-sym-v1", "gptq_v2", "stored as in gptq and are read so")]
    public async Task ZeroPointsUnderTheWrongLabelAreKnownWhereTheyMustBeTheMiddle(string name, string label, string warning)
    {
        using var folder = new TemporaryFolder();
        string copy = Copy(folder, "gptq", name);
        Relabel(copy, label);
        Same(TestData.Path("golden", "gptq", name), copy, warning);
        CliResult inspected = await Lrq.Run("inspect", copy);
        Assert.Contains($"warning: the configuration says that zero points are stored as in {label}", inspected.Out, StringComparison.Ordinal);
    }

    [Fact]
    public void ZeroPointsThatLeaveItOpenSayHowToRelabel()
    {
        using var folder = new TemporaryFolder();
        string copy = Copy(folder, "gptq", "w2-g32-asym-v2");
        Relabel(copy, "gptq");
        foreach (string file in new[] { "config.json", "quantize_config.json" }) Edit(copy, file, json => (json["quantization_config"] ?? json).AsObject().Remove("meta"));
        using ICheckpoint model = CheckpointOpener.Open(copy);
        Assert.Contains("are read as gptq (v1) has them, less one, as the configuration says", Assert.Single(model.Warnings), StringComparison.Ordinal);
        // A field of this linear is all ones.
        string message = Assert.Throws<CheckpointFormatException>(() => model.ReadOrdered("model.layers.0.mlp.up_proj.weight")).Message;
        Assert.Contains("set \"checkpoint_format\": \"gptq_v2\" in quantize_config.json and config.json", message, StringComparison.Ordinal);
    }

    [Fact]
    public void TwoFilesThatDisagreeOnTheZeroPointsAreRefused()
    {
        using var folder = new TemporaryFolder();
        string copy = Copy(folder, "gptq", "w4-g32-asym-v1");
        Edit(copy, "quantize_config.json", json => json["checkpoint_format"] = "gptq_v2");
        string message = Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(copy)).Message;
        Assert.Contains("checkpoint_format is \"gptq_v2\", and", message, StringComparison.Ordinal);
    }

    [Fact]
    public void QuantizedTensorsWithoutAnyDescriptionAreNamed()
    {
        using var folder = new TemporaryFolder();
        string copy = Copy(folder, "gptq", "w4-g32-sym-v1");
        Edit(copy, "config.json", config => config.Remove("quantization_config"));
        File.Delete(Path.Combine(copy, "quantize_config.json"));
        string message = Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(copy)).Message;
        Assert.Contains("is stored quantized ('model.layers.0.self_attn.q_proj.qweight' is there)", message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFileThatAConvertedModelKeptSaysNothingOfPlainFloats()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m");
        File.WriteAllText(Path.Combine(source, "quantize_config.json"), """{"bits": 4, "group_size": 128}""");
        using ICheckpoint model = CheckpointOpener.Open(source);
        Assert.Equal("Hugging Face folder", model.Kind);
    }

    [Fact]
    public void APartOfALinearThatTheContainerDoesNotKnowIsRefused()
    {
        using var folder = new TemporaryFolder();
        string copy = Copy(folder, "gptq", "w4-g32-sym-v1"), file = Path.Combine(copy, "model.safetensors");
        Dictionary<string, StoredTensor> tensors = AlteredDemo.Read(file);
        tensors[Module + ".weight_global_scale"] = new StoredTensor(SafetensorsType.F32, [1], [0, 0, 0, 64]);
        File.Delete(file);
        AlteredDemo.Write(file, tensors);
        Assert.Contains($"'{Module}.weight_global_scale' is none that gptq stores", Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(copy)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnMlxFolderIsASourceAndNothingOfItsConfigurationStays()
    {
        using var folder = new TemporaryFolder();
        string run = folder.File("run"), mlx = folder.File("mlx"), again = folder.File("again"), dense = folder.File("dense");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(run, "--bits", "4", "--group-size", "64", "--symmetric", "--scale-dtype", "fp16"))).Code);
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "mlx", "--out", mlx)).Code);
        CliResult quantized = await Lrq.Run("quantize", mlx, "--method", "rtn", "--bits", "3", "--threads", "1", "--out", again);
        Assert.True(quantized.Code == 0, quantized.Error);
        Assert.False(AlteredDemo.Config(again).ContainsKey("quantization"));
        Assert.Equal("compressed-tensors", (string?)AlteredDemo.Config(again)["quantization_config"]!["quant_method"]);
        using (ICheckpoint result = CheckpointOpener.Open(again)) Assert.Equal("compressed-tensors folder", result.Kind);
        Assert.Equal(0, (await Lrq.Run("convert", mlx, "--out", dense)).Code);
        Assert.False(AlteredDemo.Config(dense).ContainsKey("quantization") || AlteredDemo.Config(dense).ContainsKey("quantization_config"));
    }

    private static string Copy(TemporaryFolder folder, string container, string name)
    {
        string copy = folder.File("copy");
        ContainerModelTests.CopyFolder(TestData.Path("golden", container, name), copy);
        return copy;
    }

    private static void Relabel(string folder, string label)
    {
        foreach (string key in new[] { "checkpoint_format", "format" })
        {
            Edit(folder, "config.json", json => json["quantization_config"]![key] = label);
            Edit(folder, "quantize_config.json", json => json[key] = label);
        }
    }

    private static void Edit(string folder, string file, Action<JsonObject> edit)
    {
        string path = Path.Combine(folder, file);
        JsonObject json = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
        edit(json);
        File.WriteAllText(path, json.ToJsonString());
    }

    private static void Same(string expected, string actual, string? warning = null)
    {
        using ICheckpoint first = CheckpointOpener.Open(expected), second = CheckpointOpener.Open(actual);
        Assert.Equal(first.Kind, second.Kind);
        Assert.Equal(first.TensorNames.Order(StringComparer.Ordinal), second.TensorNames.Order(StringComparer.Ordinal));
        foreach (string name in first.TensorNames)
        {
            float[] mine = new float[first.ShapeOf(name).Aggregate(1, (product, size) => product * size)], theirs = new float[mine.Length];
            first.Read(name, mine);
            second.Read(name, theirs);
            Assert.Equal(mine, theirs);
        }
        if (warning is null) Assert.Empty(second.Warnings);
        else Assert.Contains(warning, Assert.Single(second.Warnings), StringComparison.Ordinal);
    }
}
