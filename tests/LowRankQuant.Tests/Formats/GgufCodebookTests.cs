using System.Runtime.InteropServices;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Tests.Formats;

/// <summary>Block types that are read only. <see cref="Models.Export.LlamaCppBlockTests"/> compares the same blocks with ggml's values.</summary>
public class GgufCodebookTests
{
    // SHA-256 of the floats, taken when they were ggml's bit for bit.
    private static readonly Dictionary<string, string> Expected = new(StringComparer.Ordinal)
    {
        ["IQ1_S"] = "617c5f29aa36b4f0b344f90a3e7212502af957e9d83c5bb7ebdd689cab7bb5cb",
        ["IQ1_M"] = "5ca012b13f38f5e956430d936e7819d98a7ae4c9a758dba091749bedd2193d18",
        ["IQ2_XXS"] = "2ba201e4beba092bd01d0fb1bb7884a3e48092bc0a5437e92b19064198e29dbf",
        ["IQ2_XS"] = "9734ac98877644f77e222cfc8d85498b1db41eb5800b9bbc0cc8e801259fc067",
        ["IQ2_S"] = "198ee5f003eca82f3ef579fe560fded904f95507842008ab22c24faeabd32dee",
        ["IQ3_XXS"] = "d11cdd1e815dc3cd2100cea9bc1c9b81f3b3528c333f04ed29857b89c231f0dc",
        ["IQ3_S"] = "f96460ba1d65962038ee1cdb16aa611f5987830902e1a571b18aeab417e3f195",
        ["IQ4_NL"] = "4222b806221e3250077308a7a991634b3dc5e5785fee1988a7266acb0d73bc52",
        ["IQ4_XS"] = "267d1743ea5feda3ee37492ad5d717d786538c0814f5bd3670f86c69f2fb6c1b",
        ["TQ1_0"] = "56e44ff86154efbb3cd9a74634473e923b895443bd00769710cdb5c5f6a0419f",
        ["TQ2_0"] = "19ff1225177bc82c8c1431a4a349f1dabadb60375a3967dd29b640d0414c000b",
        ["MXFP4"] = "e21ccb1cde4ddb0b5e74415e66bc3e49073cf36c1df4267bd65b80fada037bc0",
        ["NVFP4"] = "f79bd667c18e25d9ef45015be456e6483d24b74e51b02add824855e2697e4041",
        ["Q1_0"] = "1b3d3b7dc3258326734f946d47228b144bb025f28de2bd4eba95f1969efb7259",
        ["Q4_K"] = "f2a7b753a4b96e33b686a7a5da2ad68898e3becfd101ba89b57769ad2393a1a1",
        ["Q5_0"] = "f05cf06a38315ce58f7e4ea9a8f1d3452cb8c30a58952acff6a673c1e32b8b9a",
        ["Q6_K"] = "30f104dd96cf764661b43931d892cf1b8f15df3da32a7fd54a2939202b430c6d",
        ["Q8_0"] = "72c1ef98029689e919d19f51f85e44bb029ffe280d0fd87dcdb12e3e51890d1d",
    };

    public static TheoryData<string> Types => [.. GgufBlockSamples.ReadOnlyTypes];

    [Theory]
    [MemberData(nameof(Types))]
    public void BlocksHaveGgmlsValues(string name)
    {
        using TemporaryFolder folder = new();
        var type = Enum.Parse<GgmlType>(name);
        using GgufFile file = GgufFile.Open(folder.Write("a.gguf", Add(new GgufBuilder(), type).Build()));
        float[] values = ReadAll(file, name);
        Assert.Equal(Expected[name], GgufBlockSamples.Hash(values));

        // Slices that begin and end anywhere.
        Random random = new(3);
        for (int i = 0; i < 100; i++)
        {
            int begin = random.Next(values.Length + 1);
            float[] slice = new float[Math.Min(random.Next(700), values.Length - begin)];
            file.ReadSingles(name, slice, begin);
            Assert.Equal(MemoryMarshal.AsBytes(values.AsSpan(begin, slice.Length)), MemoryMarshal.AsBytes(slice.AsSpan()));
        }
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadSingles(name, new float[2], values.Length - 1));
    }

    [Fact]
    public void AFileOfManyTypesIsReadTensorByTensor()
    {
        // As quantizers of llama.cpp mix them when rows do not divide by 256: Q5_0, Q8_0 and IQ4_NL beside K blocks and codebooks.
        string[] names = ["Q4_K", "Q5_0", "Q6_K", "Q8_0", .. GgufBlockSamples.ReadOnlyTypes];
        using TemporaryFolder folder = new();
        GgufBuilder builder = new();
        foreach (string name in names) Add(builder, Enum.Parse<GgmlType>(name));
        using GgufFile file = GgufFile.Open(folder.Write("a.gguf", builder.Build()));
        Assert.Equal(names, file.Names);
        foreach (string name in names.Reverse())
        {
            Assert.Equal(name, file.Tensors[name].Type.ToString());
            Assert.Equal(GgufBlockSamples.Columns(file.Tensors[name].Type), file.ShapeOf(name)[1]);
            Assert.Equal(Expected[name], GgufBlockSamples.Hash(ReadAll(file, name)));
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void SizesAreCheckedBeforeAnythingIsRead(string name)
    {
        using TemporaryFolder folder = new();
        var type = Enum.Parse<GgmlType>(name);
        (int elements, int bytes) = type.Block();
        Assert.Equal("block-size", Refused(new GgufBuilder().Tensor("w", (uint)type, [elements + 1, elements], new byte[(elements + 1) * bytes])));
        // Half of the blocks that the shape asks for; then more than any file has.
        Assert.Equal("truncated-data", Refused(new GgufBuilder().Tensor("w", (uint)type, [elements, 64], new byte[32 * bytes])));
        Assert.Equal("truncated-data", Refused(new GgufBuilder().Tensor("w", (uint)type, [elements, 1L << 40], new byte[bytes])));

        string Refused(GgufBuilder builder)
        {
            string path = folder.Write("a.gguf", builder.Build());
            long before = GC.GetAllocatedBytesForCurrentThread();
            string kind = Assert.Throws<CheckpointFormatException>(() => GgufFile.Open(path)).Kind;
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
            return kind;
        }
    }

    private static GgufBuilder Add(GgufBuilder builder, GgmlType type)
    {
        int columns = GgufBlockSamples.Columns(type), rows = GgufBlockSamples.Blocks * type.Block().Elements / columns;
        return builder.Tensor(type.ToString(), (uint)type, [columns, rows], GgufBlockSamples.Random(type));
    }

    private static float[] ReadAll(GgufFile file, string name)
    {
        float[] values = new float[file.Tensors[name].ElementCount];
        file.ReadSingles(name, values);
        return values;
    }
}
