using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Tests.Formats;

public class GgufFileTests
{
    private static readonly string[] BlockTypes = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"];

    public static TheoryData<string> AllBlockTypes => [.. BlockTypes];

    [Fact]
    public void EveryHostileFileIsRefusedWithItsKind()
    {
        string root = TestData.Path("golden", "gguf", "hostile");
        List<string> wrong = [];
        int count = 0;
        foreach (JsonElement item in Manifest(root))
        {
            count++;
            string name = item.GetProperty("file").GetString()!, kind = item.GetProperty("kind").GetString()!;
            long before = GC.GetAllocatedBytesForCurrentThread();
            Exception? error = Record.Exception(() => GgufFile.Open(Path.Combine(root, name)).Dispose());
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            string found = error is CheckpointFormatException e ? e.Kind : error?.GetType().Name ?? "success";
            if (found != kind) wrong.Add($"{name}: {found} instead of {kind}");
            if (allocated > 1 << 20) wrong.Add($"{name}: {allocated} bytes allocated");
        }
        Assert.Empty(wrong);
        Assert.Equal(61, count);
    }

    [Fact]
    public void EveryValidFileIsRead()
    {
        string root = TestData.Path("golden", "gguf", "valid");
        int values = 0;
        foreach (JsonElement item in Manifest(root))
        {
            using GgufFile file = GgufFile.Open(Path.Combine(root, item.GetProperty("file").GetString()!));
            Assert.Equal(item.GetProperty("file").GetString() == "version-2.gguf" ? 2 : 3, file.Version);
            if (item.TryGetProperty("tensors", out JsonElement tensors))
            {
                foreach (JsonProperty tensor in tensors.EnumerateObject().Some())
                {
                    float[] expected = [.. tensor.Value.EnumerateArray().Select(v => v.GetSingle())];
                    Assert.Equal(expected, ReadAll(file, tensor.Name)[..expected.Length]);
                    values++;
                }
            }
            if (!item.TryGetProperty("kv", out JsonElement keys)) continue;
            foreach (JsonProperty key in keys.EnumerateObject())
            {
                object value = file.Metadata[key.Name].Value;
                if (key.Value.ValueKind == JsonValueKind.Array)
                    Assert.Equal(key.Value.EnumerateArray().Select(Text), ((Array)value).Cast<object>().Select(Text));
                else Assert.Equal(Text(key.Value), Text(value));
                values++;
            }
        }
        Assert.True(values > 30);
    }

    [Fact]
    public void MetadataOfAnotherKindIsRefusedByKey()
    {
        using GgufFile file = GgufFile.Open(TestData.Path("golden", "gguf", "valid", "all-values.gguf"));
        GgufMetadata metadata = file.Metadata;
        Assert.Equal(255, metadata.GetInt64("test.u8"));
        Assert.Equal([-128L, -128L], metadata.FindInt64s("test.array.i8")!);
        Assert.Equal(0.15625, metadata.GetDouble("test.f32"));
        Assert.Null(metadata.FindString("absent"));
        Assert.Equal("missing-key", Assert.Throws<CheckpointFormatException>(() => metadata.GetString("absent")).Kind);
        Action[] wrong =
        [
            () => metadata.GetInt64("test.f32"),
            () => metadata.GetInt64("test.u64"),
            () => metadata.GetString("test.u8"),
            () => metadata.GetDouble("test.bool"),
            () => metadata.FindBoolean("test.u8"),
            () => metadata.FindStrings("test.array.u8"),
            () => metadata.FindInt64s("test.array.f32"),
            () => metadata.FindInt64s("test.string"),
        ];
        foreach (Action action in wrong) Assert.Equal("metadata-type", Assert.Throws<CheckpointFormatException>(action).Kind);
    }

    [Theory]
    [MemberData(nameof(AllBlockTypes))]
    public void BlocksDecodeBitForBitAsGgmlDoes(string type)
    {
        byte[] blocks = File.ReadAllBytes(TestData.Path("golden", "gguf", "blocks", type + ".blocks"));
        float[] expected = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(TestData.Path("golden", "gguf", "blocks", type + ".f32"))).ToArray();
        GgmlType ggmlType = Enum.Parse<GgmlType>(type);
        using TemporaryFolder folder = new();
        string path = folder.Write("a.gguf", new GgufBuilder().Tensor("w", (uint)ggmlType, [expected.Length / 4, 4], blocks).Build());
        using GgufFile file = GgufFile.Open(path);
        Assert.Equal([4, expected.Length / 4], file.ShapeOf("w"));
        Assert.Equal(Bits(expected), Bits(ReadAll(file, "w")));

        // Slices that begin and end anywhere.
        Random random = new(3);
        for (int i = 0; i < 200; i++)
        {
            int begin = random.Next(expected.Length + 1), length = Math.Min(random.Next(700), expected.Length - begin);
            float[] slice = new float[length];
            file.ReadSingles("w", slice, begin);
            Assert.Equal(Bits(expected.AsSpan(begin, length)), Bits(slice));
        }
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadSingles("w", new float[2], expected.Length - 1));
    }

    [Fact]
    public void HalfTypesOfAModelAgree()
    {
        // The same model as F32 and F16: every value of the second is the first, rounded.
        using GgufFile full = GgufFile.Open(TestData.Path("golden", "gguf", "tinystories-656k", "model-f32.gguf"));
        using GgufFile half = GgufFile.Open(TestData.Path("golden", "gguf", "tinystories-656k", "model-f16.gguf"));
        Assert.Equal("llama", full.Metadata.GetString("general.architecture"));
        Assert.Equal(full.Names, half.Names);
        foreach (string name in full.Names.Some())
        {
            float[] a = ReadAll(full, name), b = ReadAll(half, name);
            bool isHalf = half.Tensors[name].Type == GgmlType.F16;
            for (int i = 0; i < a.Length; i++) Assert.Equal(isHalf ? (float)(Half)a[i] : a[i], b[i]);
        }
        Assert.Contains(half.Tensors.Values, t => t.Type == GgmlType.F16);
    }

    [Fact]
    public void UndecodedTypesAreListedAndRefusedByNameWhenRead()
    {
        using TemporaryFolder folder = new();
        GgufBuilder builder = new();
        foreach (GgmlType type in Enum.GetValues<GgmlType>())
            builder.Tensor(type.ToString(), (uint)type, [256], new byte[256 / type.Block().Elements * type.Block().Bytes]);
        using GgufFile file = GgufFile.Open(folder.Write("a.gguf", builder.Build()));
        string[] decoded = [.. BlockTypes, .. GgufBlockSamples.ReadOnlyTypes, "F32", "F16", "BF16"];
        foreach (GgmlType type in Enum.GetValues<GgmlType>())
        {
            Exception? error = Record.Exception(() => ReadAll(file, type.ToString()));
            if (decoded.Contains(type.ToString()))
            {
                Assert.Null(error);
                continue;
            }
            Assert.Equal("tensor-type", Assert.IsType<CheckpointFormatException>(error).Kind);
            Assert.Contains($"type {type},", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void PartsOfASplitFileAreOneFile()
    {
        using TemporaryFolder folder = new();
        string first = WriteParts(folder, 3, total: 3);
        using (GgufFile file = GgufFile.Open(first))
        {
            Assert.Equal(["t0", "t1", "t2"], file.Names);
            Assert.Equal([2f], ReadAll(file, "t2"));
            Assert.Equal(1, file.Metadata.GetInt64("only.first"));
        }
        Assert.Equal("split", Kind(() => GgufFile.Open(folder.File("m-00002-of-00003.gguf"))));
        File.Copy(folder.File("m-00002-of-00003.gguf"), folder.File("m-00003-of-00003.gguf"), overwrite: true);
        Assert.Equal("duplicate-name", Kind(() => GgufFile.Open(first)));
        File.Delete(folder.File("m-00003-of-00003.gguf"));
        Assert.Equal("missing-shard", Kind(() => GgufFile.Open(first)));
        Assert.Equal("split", Kind(() => GgufFile.Open(WriteParts(folder, 3, total: 4))));
        Assert.Equal("split", Kind(() => GgufFile.Open(WriteParts(folder, 3, total: 3, numbered: false))));
        Assert.Equal("split", Kind(() => GgufFile.Open(folder.Write("other.gguf", File.ReadAllBytes(first)))));
    }

    private static string WriteParts(TemporaryFolder folder, int count, int total, bool numbered = true)
    {
        for (int part = 0; part < count; part++)
        {
            GgufBuilder builder = new GgufBuilder()
                .Key("split.no", 2, BitConverter.GetBytes((ushort)(numbered ? part : 0)))
                .Key("split.count", 2, BitConverter.GetBytes((ushort)count))
                .Key("split.tensors.count", 5, BitConverter.GetBytes(total))
                .Tensor($"t{part}", 0, [1], BitConverter.GetBytes((float)part));
            if (part == 0) builder.Key("only.first", 0, [1]);
            folder.Write($"m-{part + 1:D5}-of-{count:D5}.gguf", builder.Build());
        }
        return folder.File($"m-00001-of-{count:D5}.gguf");
    }

    private static string Kind(Func<object> action) => Assert.Throws<CheckpointFormatException>(action).Kind;

    private static float[] ReadAll(GgufFile file, string name)
    {
        float[] values = new float[file.Tensors[name].ElementCount];
        file.ReadSingles(name, values);
        return values;
    }

    private static int[] Bits(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, int>(values).ToArray();

    private static string Text(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.True or JsonValueKind.False => value.GetBoolean().ToString(),
        _ => value.GetDouble().ToString("R", CultureInfo.InvariantCulture),
    };

    private static string Text(object value) => value is float or double or int or uint or short or ushort or sbyte or byte
        ? Convert.ToDouble(value, CultureInfo.InvariantCulture).ToString("R", CultureInfo.InvariantCulture)
        : Convert.ToString(value, CultureInfo.InvariantCulture)!;

    private static JsonElement[] Manifest(string root)
    {
        using JsonDocument manifest = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(root, "manifest.json")));
        return [.. manifest.RootElement.Clone().GetProperty("files").EnumerateArray()];
    }
}
