using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Models.Export;

/// <summary>Exported GGUF files byte by byte: against the reference files, and read back by our own reader.</summary>
public sealed class GgufExporterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Grids => ["w2 asym", "w3 asym", "w3 sym", "w4 asym", "w4 sym g32", "w4 asym g64", "w5 sym g64", "w8 sym", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("f32", GgmlType.F32)]
    [InlineData("f16", GgmlType.F16)]
    [InlineData("q8_0", GgmlType.Q8_0)]
    [InlineData("q4_0", GgmlType.Q4_0)]
    public void FloatModelsAreTheReferenceFiles(string name, GgmlType type)
    {
        using ICheckpoint source = CheckpointOpener.Open(TestData.Path("models", "tinystories-656k"));
        string path = _folder.File("model.gguf");
        GgufExport export = GgufExporter.Write(source, path, new GgufExportOptions { Linear = type, Embedding = type }, cancellation: TestContext.Current.CancellationToken);
        using GgufFile expected = GgufFile.Open(TestData.Path("golden", "gguf", "tinystories-656k", $"model-{name}.gguf")), actual = GgufFile.Open(path);
        Assert.Equal(expected.Names, actual.Names);
        foreach (string tensor in expected.Names.Some())
        {
            Assert.Equal(expected.Tensors[tensor].Type, actual.Tensors[tensor].Type);
            Assert.Equal(expected.ShapeOf(tensor), actual.ShapeOf(tensor));
            Assert.Equal(Bytes(expected, tensor), Bytes(actual, tensor));
        }
        foreach ((string key, GgufValue value) in expected.Metadata.All)
        {
            // That file was made with scores that are ids (the ranks of the merges, as here, give the tokenizer's ids for more texts), and with a padding
            // token that the configuration does not name.
            if (key is "tokenizer.ggml.scores" or "tokenizer.ggml.padding_token_id") continue;
            GgufValue own = actual.Metadata[key];
            Assert.Equal((key, value.Type, value.ElementType), (key, own.Type, own.ElementType));
            Assert.Equal(value.Value, own.Value);
        }
        Assert.Equal(new FileInfo(path).Length, export.Bytes);
        Assert.Contains("no byte tokens", Assert.Single(export.Notes), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Grids))]
    public void EveryGridIsReadBackWithTheSameValues(string name)
    {
        using var source = new GridCheckpoint(CheckpointOpener.Open(TestData.Demo), _ => Grid(name));
        string path = _folder.File("model.gguf");
        GgufExport export = GgufExporter.Write(source, path, new GgufExportOptions { Embedding = GgmlType.F32 }, cancellation: TestContext.Current.CancellationToken);
        using ICheckpoint back = CheckpointOpener.Open(path);
        Assert.Equal(source.TensorNames.Order(), back.TensorNames.Order());
        foreach (string tensor in source.TensorNames)
        {
            float[] expected = Values(source, tensor), actual = Values(back, tensor);
            Assert.Equal(expected, actual);
        }
        Assert.Equal(((ICheckpoint)source).Config with { EosIds = [] }, back.Config with { EosIds = [] });
        Assert.All(export.Tensors.Where(tensor => tensor.IsLinear), tensor => Assert.True(tensor.KeepsGrid));
        Assert.Equal(28, export.Tensors.Count(tensor => tensor.KeepsGrid));
        Assert.Equal(LinearBits(name), export.LinearBitsPerWeight);
        string text = "Once upon a time, a dog named Max had 12 red balls!";
        Assert.Equal(source.LoadTokenizer().Encode(text, true), back.LoadTokenizer().Encode(text, true));
    }

    [Fact]
    public void AGgufFileIsPassedOn()
    {
        string reference = TestData.Path("golden", "gguf", "tinystories-656k", "model-q4_0.gguf"), path = _folder.File("copy.gguf");
        using ICheckpoint source = CheckpointOpener.Open(reference);
        GgufExporter.Write(source, path, new GgufExportOptions(), cancellation: TestContext.Current.CancellationToken);
        using GgufFile expected = GgufFile.Open(reference), actual = GgufFile.Open(path);
        Assert.Equal(expected.Names, actual.Names);
        Assert.All(expected.Names, tensor => Assert.Equal(Bytes(expected, tensor), Bytes(actual, tensor)));
        Assert.Equal(expected.Metadata.All.Keys.Order(), actual.Metadata.All.Keys.Order());
        Assert.All(expected.Metadata.All, entry => Assert.Equal(entry.Value.Value, actual.Metadata[entry.Key].Value));

        // Types that are asked for are made from the values of the file.
        GgufExporter.Write(source, path + "2", new GgufExportOptions { Linear = GgmlType.F32, Embedding = GgmlType.F16 }, cancellation: TestContext.Current.CancellationToken);
        using ICheckpoint full = CheckpointOpener.Open(path + "2");
        Assert.Equal(Values(source, "model.layers.1.self_attn.q_proj.weight"), Values(full, "model.layers.1.self_attn.q_proj.weight"));
    }

    [Theory]
    [InlineData("lora-alpha0", GgmlType.F32)]
    [InlineData("lora-alpha0-f16", GgmlType.F16)]
    public void AnAdapterIsTheReferenceFile(string name, GgmlType type)
    {
        using GgufFile expected = GgufFile.Open(TestData.Path("golden", "gguf", "tinystories-656k", name + ".gguf"));
        using ICheckpoint source = CheckpointOpener.Open(TestData.Path("models", "tinystories-656k"), ToPeft(expected));
        string path = _folder.File("lora.gguf");
        GgufExport export = GgufLoraExporter.Write(source, path, type, TestContext.Current.CancellationToken);
        using GgufFile actual = GgufFile.Open(path);
        Assert.Equal(expected.Names.Order(StringComparer.Ordinal), actual.Names.Order(StringComparer.Ordinal));
        Assert.All(expected.Names, tensor => Assert.Equal(expected.ShapeOf(tensor), actual.ShapeOf(tensor)));
        Assert.All(expected.Names, tensor => Assert.Equal(Bytes(expected, tensor), Bytes(actual, tensor)));
        Assert.Equal(expected.Metadata.All.Keys.Order(), actual.Metadata.All.Keys.Order());
        Assert.All(expected.Metadata.All, entry => Assert.Equal(entry.Value.Value, actual.Metadata[entry.Key].Value));
        Assert.Equal(expected.Names.Count, export.Tensors.Count);
        Assert.Contains("no low-rank branches", Assert.Throws<ExportException>(() => GgufLoraExporter.Write(((AdaptedCheckpoint)source).Base, path, cancellation: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ADamagedExportIsRefusedByName()
    {
        using ICheckpoint source = CheckpointOpener.Open(TestData.Path("models", "tinystories-656k"));
        string path = _folder.File("model.gguf");
        GgufExporter.Write(source, path, new GgufExportOptions { Linear = GgmlType.Q4_0, Embedding = GgmlType.Q8_0 }, cancellation: TestContext.Current.CancellationToken);
        byte[] whole = File.ReadAllBytes(path);
        var random = new SeededRandom(3);
        for (int i = 0; i < 60; i++)
        {
            File.WriteAllBytes(path, whole[..random.NextInt32(whole.Length)]);
            Assert.IsType<CheckpointFormatException>(Open());
        }
        // Everything before the tensors' data: a flipped bit there is refused by name, or gives another sound file.
        const int Header = 70_000;
        int refused = 0;
        for (int i = 0; i < 400; i++)
        {
            byte[] flipped = [.. whole];
            flipped[random.NextInt32(Header)] ^= (byte)(1 << random.NextInt32(8));
            File.WriteAllBytes(path, flipped);
            Exception? error = Open();
            Assert.True(error is null or CheckpointFormatException or CheckpointException or UnsupportedModelException or TokenizerException, error?.ToString());
            if (error is not null) refused++;
        }
        Assert.True(refused > 20);

        Exception? Open() => Record.Exception(() =>
        {
            using ICheckpoint back = CheckpointOpener.Open(path);
            back.LoadTokenizer();
            foreach (string name in back.TensorNames) Values(back, name);
        });
    }

    [Fact]
    public void AllGridsThatDoNotFitAreNamedAtOnce()
    {
        var eight = new UniformGrid(8, false, Granularity.Channel);
        using var source = new GridCheckpoint(CheckpointOpener.Open(TestData.Demo), name => name.Contains("layers.1.mlp.", StringComparison.Ordinal) ? eight : Grid("w4 sym g32"));
        string path = _folder.File("model.gguf");
        ExportException refused = Assert.Throws<ExportException>(() => GgufExporter.Write(source, path, new GgufExportOptions(), cancellation: TestContext.Current.CancellationToken));
        string problem = Assert.Single(refused.Problems);
        Assert.StartsWith("model.layers.1.mlp.gate_proj.weight and 2 more: w8 asymmetric channel fits no GGUF block: codes less zero points reach beyond 8 signed bits", problem, StringComparison.Ordinal);
        Assert.EndsWith("the nearest grid that fits is w8 symmetric channel with Float16 scales (Q8_0, 8.5 bits per weight).", problem, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Path));

        GgufExport export = GgufExporter.Write(source, path, new GgufExportOptions { Misfit = GgufMisfit.StoreFloats }, cancellation: TestContext.Current.CancellationToken);
        Assert.Equal(3, export.Tensors.Count(tensor => tensor.IsLinear && tensor.Type == GgmlType.F32));
        using ICheckpoint back = CheckpointOpener.Open(path);
        Assert.Equal(Values(source, "model.layers.1.mlp.up_proj.weight"), Values(back, "model.layers.1.mlp.up_proj.weight"));
    }

    [Fact]
    public void ScalesOfAnotherTypeAreRefused()
    {
        using var source = new GridCheckpoint(CheckpointOpener.Open(TestData.Demo), _ => Grid("w4 asym"), ScaleType.Float32);
        ExportException refused = Assert.Throws<ExportException>(() => GgufExporter.Write(source, _folder.File("a.gguf"), new GgufExportOptions(), cancellation: TestContext.Current.CancellationToken));
        Assert.Contains("and 27 more: w4 asymmetric channel fits no GGUF block: scales stored as Float32", refused.Message, StringComparison.Ordinal);
        Assert.Contains("w4 asymmetric channel with Float16 scales (Q4_K, 4.5 bits per weight)", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hidden_act", "\"gelu\"", "hidden_act")]
    [InlineData("rope_scaling", """{"rope_type": "dynamic", "factor": 2.0}""", "dynamic")]
    [InlineData("rope_scaling", """{"rope_type": "yarn", "factor": 2.0, "truncate": false}""", "truncate")]
    [InlineData("intermediate_size", "512", "mlp.gate_proj")]
    [InlineData("num_hidden_layers", "3", "num_hidden_layers in config.json is 3")]
    public void WhatTheArchitectureDoesNotKnowIsRefused(string key, string value, string expected)
    {
        foreach (string file in Directory.GetFiles(TestData.Demo)) File.Copy(file, _folder.File(Path.GetFileName(file)));
        JsonNode config = JsonNode.Parse(File.ReadAllText(_folder.File("config.json")))!;
        config[key] = JsonNode.Parse(value);
        File.WriteAllText(_folder.File("config.json"), config.ToJsonString());
        string path = _folder.File("out.gguf");
        Exception? refused = Record.Exception(() =>
        {
            using ICheckpoint source = CheckpointOpener.Open(_folder.Path);
            GgufExporter.Write(source, path, new GgufExportOptions(), cancellation: TestContext.Current.CancellationToken);
        });
        Assert.True(refused is ExportException or CheckpointException, refused?.ToString());
        Assert.Contains(expected, refused!.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(path));
    }

    [Fact]
    public void WrongRequestsLeaveNothing()
    {
        using ICheckpoint source = CheckpointOpener.Open(TestData.Demo);
        string path = _folder.File("a.gguf");
        Refuses("Linear is Q4_K", new GgufExportOptions { Linear = GgmlType.Q4_K });
        using ICheckpoint gguf = CheckpointOpener.Open(TestData.Path("golden", "gguf", "tinystories-656k", "model-f32.gguf"));
        Assert.Contains("is the source itself", Assert.Throws<ExportException>(() => GgufExporter.Write(gguf, gguf.Location, new GgufExportOptions(), cancellation: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);

        using var stop = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => GgufExporter.Write(source, path, new GgufExportOptions(), (done, _) => stop.Cancel(), stop.Token));
        Assert.Empty(Directory.GetFiles(_folder.Path));

        using ICheckpoint nameless = CheckpointOpener.Open(TestData.Path("golden", "models", "llama_mha"));
        Assert.Throws<TokenizerException>(() => GgufExporter.Write(nameless, path, new GgufExportOptions(), cancellation: TestContext.Current.CancellationToken));

        void Refuses(string message, GgufExportOptions options) => Assert.Contains(
            message, Assert.Throws<ExportException>(() => GgufExporter.Write(source, path, options, cancellation: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    /// <summary>The adapter as a PEFT folder, the rows of q and k in the order of Hugging Face.</summary>
    private string ToPeft(GgufFile lora)
    {
        using ICheckpoint model = CheckpointOpener.Open(TestData.Path("models", "tinystories-656k"));
        Dictionary<string, string> names = model.Architecture.Gguf!.Place(model.Layout, out _).ToDictionary(stored => stored.Name, stored => stored.Parts[0].Name);
        var modules = new List<AdapterModule>();
        foreach (string a in lora.Names.Where(name => name.EndsWith(".lora_a", StringComparison.Ordinal)))
        {
            string b = a[..^1] + "b", module = names[a[..^".lora_a".Length]][..^".weight".Length];
            int rank = (int)lora.ShapeOf(a)[0], rows = (int)lora.ShapeOf(b)[0], columns = (int)lora.ShapeOf(a)[1];
            float[] right = new float[rank * columns], left = new float[rank * rows];
            lora.ReadSingles(a, right);
            lora.ReadSingles(b, left);
            if (module.EndsWith("q_proj", StringComparison.Ordinal)) RowOrders.ToModel(left, RowOrders.OfPairs(rows, 8, rows / 8), rank);
            if (module.EndsWith("k_proj", StringComparison.Ordinal)) RowOrders.ToModel(left, RowOrders.OfPairs(rows, 4, rows / 4), rank);
            modules.Add(new AdapterModule(module, rows, columns, rank, () => right, () => left));
        }
        string folder = _folder.File("adapter");
        PeftAdapterWriter.Write(folder, modules, SafetensorsType.F32, AdapterForm.Pattern, "tinystories-656k", 32);
        return folder;
    }

    internal static WeightGrid Grid(string name)
    {
        if (TwoLevelGrid.Find(name) is { } native) return native;
        string[] parts = name.Split(' ');
        int group = parts.Length > 2 ? int.Parse(parts[2].AsSpan(1)) : 0;
        return new UniformGrid(parts[0][1] - '0', parts[1] == "sym", group == 0 ? Granularity.Channel : Granularity.Group, group);
    }

    private static double LinearBits(string name) => name switch
    {
        "w2 asym" or "Q2_K" => 2.625,
        "w3 sym" or "Q3_K" => 3.4375,
        "w4 asym g64" or "w5 sym g64" or "Q5_K" => 5.5,
        "Q6_K" => 6.5625,
        "w8 sym" => 8.5,
        _ => 4.5,
    };

    private static byte[] Bytes(GgufFile file, string name) => file.GetBytes(name, 0, (int)file.Tensors[name].ByteLength).ToArray();

    private static float[] Values(ICheckpoint source, string name)
    {
        float[] values = new float[source.ShapeOf(name).Aggregate(1, (product, size) => product * size)];
        source.Read(name, values);
        return values;
    }
}
