using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Families;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Sources;

/// <summary>Tensors that a configuration does not ask for, and those that it asks for in vain: honoured, carried over, or refused by name.</summary>
public sealed class StructureTests
{
    private const string Query = "model.layers.0.self_attn.q_proj";
    private static readonly StoredTensor Bytes = new(SafetensorsType.U8, [3], [1, 2, 255]);
    private static readonly StoredTensor Floats = new(SafetensorsType.F32, [2], [0, 0, 128, 63, 0, 0, 0, 64]);

    private static readonly Dictionary<string, StoredTensor> Extras = new()
    {
        ["model.layers.0.self_attn._extra_state"] = new StoredTensor(SafetensorsType.U8, [0], []),
        ["model.layers.1.self_attn.bias"] = new StoredTensor(SafetensorsType.Bool, [2, 2], [1, 0, 1, 1]),
        ["model.position_ids"] = new StoredTensor(SafetensorsType.I64, [1], [1, 2, 3, 4, 5, 6, 7, 8]),
        ["counter"] = new StoredTensor(SafetensorsType.I32, [], [9, 0, 0, 0]),
        ["vision_tower.patch.weight"] = Floats,
    };

    [Fact]
    public async Task WhatIsNoPartOfTheModelIsCarriedOverUntouchedAndListed()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "source", AddExtras), run = folder.File("run");
        CliResult quantized = await Lrq.Run(
            "quantize", source, "--method", "rtn", "--bits", "4", "--group-size", "32", "--symmetric", "--scale-dtype", "fp16", "--threads", "1", "--out", run);
        Assert.True(quantized.Code == 0, quantized.Error);
        Assert.Contains("warning: no part of the model that is computed, carried over untouched", quantized.Out, StringComparison.Ordinal);
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(run, "report.json")))!;
        Assert.Equal(Extras.Keys.Order(StringComparer.Ordinal), report["carriedOver"]!.AsArray().Select(name => (string)name!));
        Same(run);
        foreach (string container in new[] { "dense", "gptq", "awq", "mlx", "compressed-tensors" })
        {
            string output = folder.File(container);
            CliResult exported = await Lrq.Run("export", run, "--to", container, "--out", output);
            Assert.True(exported.Code == 0, exported.Error);
            Same(output);
        }
        CliResult gguf = await Lrq.Run("convert", source, "--to", "gguf", "--out", folder.File("m.gguf"));
        Assert.Equal(0, gguf.Code);
        Assert.Contains("left out of GGUF files", gguf.Out + gguf.Error, StringComparison.Ordinal);

        static void Same(string output)
        {
            Dictionary<string, StoredTensor> written = AlteredDemo.Read(Path.Combine(output, "model.safetensors"));
            foreach ((string name, StoredTensor tensor) in Extras)
            {
                Assert.Equal((tensor.Type, string.Join(",", tensor.Shape)), (written[name].Type, string.Join(",", written[name].Shape)));
                Assert.Equal(tensor.Bytes, written[name].Bytes);
            }
        }
    }

    [Theory]
    [InlineData(Query + ".weight_scale")]
    [InlineData(Query + ".weight_packed")]
    [InlineData(Query + ".weight_zero_point")]
    [InlineData(Query + ".weight_shape")]
    [InlineData(Query + ".qweight")]
    public async Task APartOfAQuantizedWeightBesideFloatsIsRefusedBeforeAnyWork(string name)
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "source", tensors => tensors[name] = Bytes), output = folder.File("out");
        foreach (string[] command in new[] { new[] { "quantize", source, "--method", "rtn", "--out", output }, ["plan", source, "--method", "rtn"], ["inspect", source] })
        {
            CliResult result = await Lrq.Run(command);
            Assert.Equal(1, result.Code);
            Assert.Contains($"'{name}'", Assert.Single(DemoRunTests.Lines(result.Error)), StringComparison.Ordinal);
            Assert.DoesNotContain("block 1", result.Out, StringComparison.Ordinal);
        }
        Assert.False(Directory.Exists(output));
    }

    [Fact]
    public async Task ValuesThatTheResultCannotHoldAreFoundByPlanAndBeforeTheFirstBlock()
    {
        using var folder = new TemporaryFolder();
        // 2^20 in bf16, which fp16 does not reach.
        string source = AlteredDemo.Create(folder, "source", tensors => BitConverter.TryWriteBytes(tensors["model.embed_tokens.weight"].Bytes, (ushort)0x4980));
        CliResult plan = await Lrq.Run("plan", source, "--method", "rtn", "--scale-dtype", "fp16", "--untimed");
        Assert.Equal(2, plan.Code);
        Assert.Contains("'model.embed_tokens.weight' holds 1048576, which does not fit F16 (at most 65504); choose bf16 or fp32", plan.Error, StringComparison.Ordinal);
        CliResult run = await Lrq.Run("quantize", source, "--method", "rtn", "--scale-dtype", "fp16", "--out", folder.File("out"));
        Assert.Equal(1, run.Code);
        Assert.Contains("does not fit F16", run.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("block 1", run.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(3, "hold 4 blocks ('model.layers.3' among them), and num_hidden_layers in config.json is 3")]
    [InlineData(6, "tensors of 'model.layers.4' are absent: the files hold 4 blocks, and num_hidden_layers in config.json is 6")]
    public void SurplusAndMissingBlocksAreRefusedWithBothNumbers(int layers, string message)
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", config: json => json["num_hidden_layers"] = layers);
        Assert.Contains(message, Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(source)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.layers.0.self_attn.q_norm.weight")]
    [InlineData("model.layers.2.mlp.gate.weight")]
    [InlineData("lm_head.bias")]
    [InlineData("model.layers.1.self_attn.q_proj.lora_A.weight")]
    public void ATensorThatChangesTheFunctionIsRefusedByName(string name)
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors => tensors[name] = Floats);
        Assert.Contains($"tensor '{name}' has no place in the llama architecture", Assert.Throws<UnsupportedModelException>(() => CheckpointOpener.Open(source)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void BiasesThatTheFilesHoldCountAndAreWrittenIntoTheConfiguration()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors => AddBiases(tensors, "q_proj", "k_proj", "v_proj", "o_proj"));
        using ICheckpoint model = CheckpointOpener.Open(source);
        Assert.True((bool)model.HuggingFaceConfig["attention_bias"]!);
        Assert.Contains("attention_bias is not true, but the files hold", Assert.Single(model.Warnings), StringComparison.Ordinal);
        Assert.True(model.Contains(Query + ".bias"));
    }

    [Fact]
    public void SomeBiasesOfAGroupAreRefused()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors => AddBiases(tensors, "q_proj", "k_proj", "v_proj"));
        Assert.Contains(
            "'model.layers.0.self_attn.q_proj.bias' is there and 'model.layers.0.self_attn.o_proj.bias' is not",
            Assert.Throws<UnsupportedModelException>(() => CheckpointOpener.Open(source)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TablesThatEveryLoaderComputesAreIgnored()
    {
        using var folder = new TemporaryFolder();
        const string Table = "model.layers.0.self_attn.rotary_emb.inv_freq";
        using ICheckpoint model = CheckpointOpener.Open(AlteredDemo.Create(folder, "m", tensors => tensors[Table] = Floats));
        Assert.Empty(model.Warnings);
        Assert.DoesNotContain(Table, model.TensorNames);
        Assert.Empty(model.Carried);
    }

    [Theory]
    [InlineData("_orig_mod.", "")]
    [InlineData("module.", "")]
    [InlineData("module._orig_mod.", "")]
    [InlineData("model.language_model.", "model.")]
    [InlineData("language_model.model.", "model.")]
    [InlineData("", "model.")]
    [InlineData("model.model.", "model.")]
    public async Task KnownPrefixesAreReadAndWrittenUnderTheStandardNames(string prefix, string instead)
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", AlteredDemo.Renamed(name => prefix + name[instead.Length..])), output = folder.File("out");
        using ICheckpoint demo = CheckpointOpener.Open(TestData.Demo), model = CheckpointOpener.Open(source);
        Assert.Equal(demo.TensorNames.Order(StringComparer.Ordinal), model.TensorNames.Order(StringComparer.Ordinal));
        CliResult result = await Lrq.Run("convert", source, "--to", "dense", "--out", output);
        Assert.True(result.Code == 0, result.Error);
        Assert.Equal(File.ReadAllBytes(Path.Combine(TestData.Demo, "model.safetensors")).Length, File.ReadAllBytes(Path.Combine(output, "model.safetensors")).Length);
        Assert.Equal(demo.TensorNames.Order(StringComparer.Ordinal), AlteredDemo.Read(Path.Combine(output, "model.safetensors")).Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void AWrapperWithinANameIsLeftOutAndTwoNamesForOneTensorAreRefused()
    {
        using var folder = new TemporaryFolder();
        string inner = AlteredDemo.Create(folder, "inner", AlteredDemo.Renamed(name => name.Replace(".self_attn.", "._orig_mod.self_attn.", StringComparison.Ordinal)));
        using (ICheckpoint model = CheckpointOpener.Open(inner)) Assert.True(model.Contains(Query + ".weight"));
        string twice = AlteredDemo.Create(folder, "twice", tensors => tensors["module.model.norm.weight"] = tensors["model.norm.weight"]);
        Assert.Equal("duplicate-name", Assert.Throws<CheckpointFormatException>(() => CheckpointOpener.Open(twice)).Kind);
    }

    [Fact]
    public void NamesOfMetaAreNamedAsSuch()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors =>
        {
            tensors.Clear();
            tensors["tok_embeddings.weight"] = tensors["norm.weight"] = Floats;
        });
        Assert.Contains("Meta's own files", Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(source)).Message, StringComparison.Ordinal);
        string other = AlteredDemo.Create(folder, "other", AlteredDemo.Renamed(name => "wrapped." + name));
        Assert.Contains("names of the files begin otherwise ('wrapped.", Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(other)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AwqIsRefusedForOutputsThatItsPackerDoesNotTake()
    {
        using var folder = new TemporaryFolder();
        // 744 is a multiple of 8, which the layout needs, and not of 32, which AutoAWQ does.
        const int Width = 744, Whole = 768, Hidden = 256, Size = 2;
        string run = folder.File("run"), source = AlteredDemo.Create(folder, "m", tensors =>
        {
            foreach ((string name, StoredTensor tensor) in tensors.ToArray())
            {
                if (name.EndsWith("gate_proj.weight", StringComparison.Ordinal) || name.EndsWith("up_proj.weight", StringComparison.Ordinal))
                    tensors[name] = new StoredTensor(tensor.Type, [Width, Hidden], tensor.Bytes[..(Width * Hidden * Size)]);
                if (name.EndsWith("down_proj.weight", StringComparison.Ordinal))
                    tensors[name] = new StoredTensor(tensor.Type, [Hidden, Width], [.. tensor.Bytes.Chunk(Whole * Size).SelectMany(row => row[..(Width * Size)])]);
            }
        }, json => json["intermediate_size"] = Width);
        CliResult quantized = await Lrq.Run("quantize", source, "--method", "rtn", "--bits", "4", "--scale-dtype", "fp16", "--threads", "1", "--out", run);
        Assert.True(quantized.Code == 0, quantized.Error);
        CliResult exported = await Lrq.Run("export", run, "--to", "awq", "--out", folder.File("awq"));
        Assert.Equal(2, exported.Code);
        Assert.Contains("gate_proj: 744 outputs are no multiple of 32", exported.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AModelWithoutATokenizerIsQuantizedWhereNoTextIsRead()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", _ => { }), run = folder.File("run");
        foreach (string file in new[] { "tokenizer.json", "tokenizer_config.json" }) File.Delete(Path.Combine(source, file));
        CliResult quantized = await Lrq.Run("quantize", source, "--method", "rtn", "--bits", "4", "--threads", "1", "--out", run);
        Assert.True(quantized.Code == 0, quantized.Error);
        Assert.Contains("holds no tokenizer, and the result has none", quantized.Out, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(run, "tokenizer.json")));
        CliResult measured = await Lrq.Run(
            "quantize", source, "--method", "rtn", "--bits", "4", "--threads", "1", "--eval-text", Path.Combine(TestData.Demo, "evaluation.txt"), "--out", folder.File("second"));
        Assert.Equal(1, measured.Code);
        Assert.Contains("no tokenizer.json, no tokenizer.model", measured.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("block 1/4", measured.Out, StringComparison.Ordinal);
    }

    private static void AddExtras(Dictionary<string, StoredTensor> tensors)
    {
        foreach ((string name, StoredTensor tensor) in Extras) tensors.Add(name, tensor);
    }

    private static void AddBiases(Dictionary<string, StoredTensor> tensors, params string[] linears)
    {
        foreach (string name in tensors.Keys.Where(name => linears.Any(linear => name.EndsWith($"{linear}.weight", StringComparison.Ordinal))).ToArray())
        {
            long rows = tensors[name].Shape[0];
            tensors[name[..^"weight".Length] + "bias"] = new StoredTensor(SafetensorsType.BF16, [rows], new byte[2 * rows]);
        }
    }
}
