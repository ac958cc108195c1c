using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Sources;

/// <summary>Which matrix is the output head: the one that the files hold, whatever the configuration says.</summary>
public sealed class OutputHeadTests
{
    private const string Embedding = "model.embed_tokens.weight", Head = "lm_head.weight", Tie = "tie_word_embeddings";
    private static readonly string[] Folders = ["dense", "gptq", "awq", "mlx", "compressed-tensors"];

    [Fact]
    public async Task AHeadOfItsOwnCountsInEveryContainerAndTheFlagIsCorrected()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "source", tensors => tensors[Head] = tensors[Embedding] with { Bytes = Halved(tensors[Embedding].Bytes) });
        JsonNode facts = JsonNode.Parse((await Lrq.Run("inspect", source, "--json")).Out)!;
        Assert.False((bool)facts["tiedEmbeddings"]!);
        Assert.Contains("the head of the file counts", (string)facts["warnings"]![0]!, StringComparison.Ordinal);
        foreach ((string container, string written) in await WriteAll(folder, source))
        {
            using ICheckpoint result = CheckpointOpener.Open(written);
            Assert.False(result.Config.TiedEmbeddings, container);
            Assert.Equal(Values(source, Head), Values(result, Head));
            Assert.Equal(Values(source, Embedding), Values(result, Embedding));
            if (container == "gguf") continue;
            Assert.False((bool)AlteredDemo.Config(written)[Tie]!, container);
        }
    }

    [Fact]
    public async Task TheOneMatrixOfATiedModelHasTheNameOfTheEmbedding()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "source", AlteredDemo.Renamed(name => name == Embedding ? Head : name));
        using ICheckpoint demo = CheckpointOpener.Open(TestData.Demo);
        foreach ((string container, string written) in await WriteAll(folder, source))
        {
            using ICheckpoint result = CheckpointOpener.Open(written);
            Assert.True(result.Config.TiedEmbeddings, container);
            Assert.Equal(Values(demo, Embedding), Values(result, Embedding));
            if (container == "gguf")
            {
                using GgufFile file = GgufFile.Open(written);
                Assert.True(file.Contains("token_embd.weight") && !file.Contains("output.weight"));
                continue;
            }
            using SafetensorsFolder stored = SafetensorsFolder.Open(written);
            Assert.True(stored.Contains(Embedding), container);
            Assert.False(stored.Contains(Head), container);
            Assert.True((bool)AlteredDemo.Config(written)[Tie]!, container);
        }
    }

    [Fact]
    public void WithoutAKeyTheOnlyMatrixIsBothAndWhatIsWrittenSaysSo()
    {
        using var folder = new TemporaryFolder();
        using ICheckpoint model = CheckpointOpener.Open(AlteredDemo.Create(folder, "m", config: json => json.Remove(Tie)));
        Assert.True(model.Config.TiedEmbeddings);
        Assert.True((bool)model.HuggingFaceConfig[Tie]!);
        Assert.Empty(model.Warnings);
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(false, false)]
    [InlineData(null, false)]
    public void AHeadThatEqualsTheEmbeddingIsTiedOnlyWhereTheFlagSaysSo(bool? flag, bool tied)
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors => tensors[Head] = tensors[Embedding], json =>
        {
            json.Remove(Tie);
            if (flag is not null) json[Tie] = flag;
        });
        using ICheckpoint model = CheckpointOpener.Open(source);
        Assert.Equal((tied, !tied), (model.Config.TiedEmbeddings, model.Contains(Head)));
        Assert.Empty(model.Warnings);
    }

    [Theory]
    [InlineData(Embedding, Head)]
    [InlineData(Head, Embedding)]
    public void AnExplicitFalseWithOneMatrixIsRefusedWithTheRemedy(string there, string missing)
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", AlteredDemo.Renamed(name => name == Embedding ? there : name), json => json[Tie] = false);
        string message = Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(source)).Message;
        Assert.Contains($"tensor '{missing}' is absent, and {Tie} is false; if '{there}' is both embedding and head set {Tie} to true", message, StringComparison.Ordinal);
    }

    [Fact]
    public void AHeadOfAnotherShapeIsRefused()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors => tensors[Head] = new StoredTensor(SafetensorsType.BF16, [7, 256], new byte[7 * 256 * 2]));
        Assert.Contains($"tensor '{Head}' has shape [7, 256]; the configuration asks for [2048, 256]", Assert.Throws<CheckpointException>(() => CheckpointOpener.Open(source)).Message, StringComparison.Ordinal);
    }

    // A run of every kind of folder, a GGUF file and exports of the run.
    private static async Task<List<(string Container, string Path)>> WriteAll(TemporaryFolder folder, string source)
    {
        string run = folder.File("run"), gguf = folder.File("m.gguf");
        var written = new List<(string, string)> { ("run", run), ("gguf", gguf) };
        await Do("quantize", source, "--method", "rtn", "--bits", "4", "--group-size", "32", "--symmetric", "--scale-dtype", "fp16", "--threads", "1", "--out", run);
        await Do("convert", run, "--to", "gguf", "--out", gguf);
        foreach (string container in Folders)
        {
            string output = folder.File(container);
            await Do(["export", run, "--to", container, "--out", output]);
            written.Add((container, output));
        }
        string direct = folder.File("direct");
        await Do(["convert", source, "--to", "dense", "--out", direct]);
        written.Add(("direct", direct));
        return written;

        static async Task Do(params string[] command)
        {
            CliResult result = await Lrq.Run(command);
            Assert.True(result.Code == 0, $"{string.Join(' ', command)}: {result.Error}");
        }
    }

    // Half of every bf16 value, which is exact: one less in the exponent.
    private static byte[] Halved(byte[] bytes)
    {
        byte[] result = [.. bytes];
        for (int i = 0; i < result.Length; i += 2)
        {
            ushort bits = BitConverter.ToUInt16(result, i);
            if ((bits & 0x7F80) > 0x80) BitConverter.TryWriteBytes(result.AsSpan(i), (ushort)(bits - 0x80));
        }
        return result;
    }

    private static float[] Values(string folder, string name)
    {
        using ICheckpoint model = CheckpointOpener.Open(folder);
        return Values(model, name);
    }

    // In fp16, the type of every result here.
    private static float[] Values(ICheckpoint model, string name)
    {
        var values = new float[model.ShapeOf(name).Aggregate(1, (product, size) => product * size)];
        model.Read(name, values);
        return [.. values.Select(value => (float)(Half)value)];
    }
}
