using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Families;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>Folders of every container, cut or with flipped bits: opened and read whole, or refused by an exception that names the file.</summary>
public class DamagedFolderTests
{
    [Theory]
    [InlineData("gptq", "w4-g32-asym-desc_act-v2")]
    [InlineData("awq", "w4-g64")]
    [InlineData("autoround", "w3-g32-sym")]
    [InlineData("compressed-tensors", "w3-g32-asym")]
    [InlineData("compressed-tensors", "w8a8-channel-static-asym")]
    [InlineData("mlx", null)]
    public async Task DamageIsReadOrRefusedByName(string container, string? name)
    {
        using var folder = new TemporaryFolder();
        string source = folder.File("source");
        if (name is null)
        {
            string run = folder.File("run");
            Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(run, "--bits", "3", "--symmetric", "--group-size", "128"))).Code);
            Assert.Equal(0, (await Lrq.Run("export", run, "--to", "mlx", "--out", source)).Code);
        }
        else
        {
            source = TestData.Path("golden", container, name);
        }
        string copy = folder.File("copy");
        ContainerModelTests.CopyFolder(source, copy);
        ReadEverything(copy);
        var random = new Random(3);
        int refused = 0;
        foreach (string file in new[] { "model.safetensors", "config.json" })
        {
            byte[] good = File.ReadAllBytes(Path.Combine(source, file));
            // Nearly all rules are about the header; the rest of the file is codes.
            int header = file == "config.json" ? good.Length : 8 + (int)BitConverter.ToInt64(good, 0);
            for (int round = 0; round < 150; round++)
            {
                byte[] bytes = round % 5 == 0 ? good[..random.Next(good.Length)] : [.. good];
                if (round % 5 != 0) bytes[random.Next(round % 5 == 1 ? bytes.Length : header)] ^= (byte)(1 << random.Next(8));
                File.WriteAllBytes(Path.Combine(copy, file), bytes);
                Exception? error = Record.Exception(() => ReadEverything(copy));
                Assert.True(error is null or CheckpointFormatException or CheckpointException or UnsupportedModelException, $"{file}, round {round}: {error}");
                if (error is not null) refused++;
            }
            File.WriteAllBytes(Path.Combine(copy, file), good);
        }
        Assert.InRange(refused, 60, 299);
    }

    [Theory]
    [InlineData("gptq", "w4-g32-sym-v1", "\"bits\": 4", "\"bits\": 8", "[size-mismatch]")]
    [InlineData("gptq", "w4-g32-sym-v1", "\"group_size\": 32", "\"group_size\": 16", "[size-mismatch]")]
    [InlineData("gptq", "w4-g32-asym-v1", "\"sym\": false", "\"sym\": true", "[zero-point]")]
    [InlineData("awq", "w4-g32", "\"group_size\": 32", "\"group_size\": 24", "[group-size]")]
    [InlineData("autoround", "w2-g32-sym", "\"bits\": 2", "\"bits\": 4", "has shape")]
    [InlineData("compressed-tensors", "w4-g32-asym", "\"num_bits\": 4", "\"num_bits\": 5", "[size-mismatch]")]
    [InlineData("gptq", "w4-g32-sym-v1", "\"intermediate_size\": 192", "\"intermediate_size\": 256", "has shape")]
    public async Task AConfigurationThatDoesNotFitItsTensorsIsRefusedByName(string container, string name, string from, string to, string rule)
    {
        using var folder = new TemporaryFolder();
        string copy = folder.File("copy"), output = folder.File("out");
        ContainerModelTests.CopyFolder(TestData.Path("golden", container, name), copy);
        string config = Path.Combine(copy, "config.json"), text = File.ReadAllText(config);
        Assert.Contains(from, text, StringComparison.Ordinal);
        File.WriteAllText(config, text.Replace(from, to, StringComparison.Ordinal));
        CliResult result = await Lrq.Run("convert", copy, "--to", "compressed-tensors", "--out", output);
        Assert.Equal(1, result.Code);
        Assert.Contains(rule, result.Error, StringComparison.Ordinal);
        Assert.Contains("model.layers.0", result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    [Fact]
    public async Task AnExportThatFailsHalfWayLeavesNothing()
    {
        using var folder = new TemporaryFolder();
        string copy = folder.File("copy");
        ContainerModelTests.CopyFolder(TestData.Path("golden", "gptq", "w4-g32-sym-v1"), copy);
        string file = Path.Combine(copy, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(file);
        // The first tensor is the embedding, F16: make its first element infinite.
        int data = 8 + (int)BitConverter.ToInt64(bytes, 0);
        (bytes[data], bytes[data + 1]) = (0x00, 0x7C);
        File.WriteAllBytes(file, bytes);
        foreach (string target in new[] { "dense", "compressed-tensors --shard-size 10K" })
        {
            CliResult result = await Lrq.Run(["convert", copy, "--out", folder.File("out"), "--to", .. target.Split(' ')]);
            Assert.Equal(target == "dense" ? 1 : 0, result.Code);
            if (target == "dense") Assert.Equal(["copy"], Directory.GetFileSystemEntries(folder.Path).Select(Path.GetFileName));
        }
        CliResult verified = await Lrq.Run("verify", folder.File("out"));
        Assert.Equal(1, verified.Code);
        Assert.Contains("model.embed_tokens.weight", verified.Error, StringComparison.Ordinal);
    }

    private static void ReadEverything(string folder)
    {
        using ICheckpoint model = CheckpointOpener.Open(folder);
        foreach (string name in model.TensorNames)
        {
            var values = new float[model.ShapeOf(name).Aggregate(1L, (product, size) => checked(product * size))];
            model.Read(name, values);
            model.ReadOrdered(name);
            model.StoredBitsOf(name);
        }
    }
}
