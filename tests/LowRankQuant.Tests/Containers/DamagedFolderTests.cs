using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
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
