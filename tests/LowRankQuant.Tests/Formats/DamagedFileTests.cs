#pragma warning disable xUnit1051 // These writes take milliseconds; a cancelled run need not interrupt them.
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Tests.Formats;

/// <summary>Small valid files, cut or with flipped bits: the reader either succeeds or throws its own exception, never anything else.</summary>
public class DamagedFileTests
{
    [Fact]
    public void DamagedSafetensorsAreReadOrRefused()
    {
        using TemporaryFolder folder = new();
        SafetensorsWriter.Write(folder.File("good"), [
            PendingTensor.FromSingles("model.weight", SafetensorsType.BF16, [4, 8], new float[32]),
            PendingTensor.FromSingles("codes", SafetensorsType.F16, [4], new float[4]),
            PendingTensor.FromSingles("norm", SafetensorsType.F32, [3], new float[3]),
        ]);
        Damage(File.ReadAllBytes(folder.File("good")), bytes =>
        {
            using SafetensorsFile file = SafetensorsFile.Open(MappedFile.FromBytes("damaged", bytes));
            ReadEverything(file);
        });
    }

    [Fact]
    public void DamagedGgufFilesAreReadOrRefused()
    {
        byte[] good = new GgufBuilder()
            .Key("general.architecture", 8, [5, 0, 0, 0, 0, 0, 0, 0, .. "llama"u8])
            .Key("general.alignment", 4, BitConverter.GetBytes(32))
            .Key("llama.flag", 7, [1])
            .Key("tokens", 9, [8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 65, 0, 0, 0, 0, 0, 0, 0, 0])
            .Key("scores", 9, [6, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .Tensor("blk.0.attn_q.weight", (uint)GgmlType.Q4_0, [32, 2], new byte[36])
            .Tensor("norm", (uint)GgmlType.F32, [8], new byte[32])
            .Build();
        Damage(good, bytes =>
        {
            using GgufFile file = GgufFile.Open(MappedFile.FromBytes("damaged", bytes));
            ReadEverything(file);
        });
    }

    private static void Damage(byte[] good, Action<byte[]> read)
    {
        read(good);
        int refused = 0;
        void Try(byte[] bytes, string what)
        {
            Exception? error = Record.Exception(() => read(bytes));
            Assert.True(error is null or CheckpointFormatException, $"{what}: {error}");
            if (error is not null) refused++;
        }

        for (int length = 0; length < good.Length; length++) Try(good[..length], $"cut to {length}");
        for (int bit = 0; bit < good.Length * 8; bit++)
        {
            byte[] bytes = [.. good];
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Try(bytes, $"bit {bit}");
        }
        Random random = new(11);
        for (int round = 0; round < 2000; round++)
        {
            byte[] bytes = [.. good];
            for (int i = random.Next(1, 6); i > 0; i--) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            Try(bytes, $"round {round}");
        }
        Assert.True(refused > good.Length); // nearly every cut, and many flips
    }

    private static void ReadEverything(ITensorSource source)
    {
        foreach (string name in source.Names)
        {
            long count = 1;
            foreach (long dimension in source.ShapeOf(name)) count *= dimension;
            source.ReadSingles(name, new float[count]);
        }
    }
}
