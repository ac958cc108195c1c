#pragma warning disable xUnit1051 // These writes take milliseconds; a cancelled run need not interrupt them.
using System.Globalization;
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Tests.Formats;

public class SafetensorsReaderTests
{
    // Files that break two rules at once: the README of the reference data accepts either name.
    private static readonly Dictionary<string, string[]> AlsoRight = new()
    {
        ["shape-product-overflow-i64.safetensors"] = ["size-mismatch"],
        ["index-unlisted-tensor"] = ["missing-checkpoint"],
    };

    [Fact]
    public void EveryHostileFileIsRefusedWithItsKind()
    {
        string root = TestData.Path("golden", "safetensors", "hostile");
        List<string> wrong = [];
        int count = 0;
        foreach (JsonElement item in Manifest(root))
        {
            count++;
            bool isFile = item.TryGetProperty("file", out JsonElement name);
            if (!isFile) name = item.GetProperty("folder");
            string path = Path.Combine(root, name.GetString()!), kind = item.GetProperty("kind").GetString()!;
            Exception? error = Record.Exception(() =>
            {
                using ISafetensorsSource source = isFile ? SafetensorsFile.Open(path) : SafetensorsFolder.Open(path);
            });
            string found = error is CheckpointFormatException e ? e.Kind : error?.GetType().Name ?? "success";
            bool right = found == kind || (AlsoRight.TryGetValue(name.GetString()!, out string[]? others) && others.Contains(found));
            if (!right) wrong.Add($"{name}: {found} instead of {kind}");
        }
        Assert.Empty(wrong);
        Assert.Equal(61, count);
    }

    [Fact]
    public void EveryValidFileGivesItsValues()
    {
        string root = TestData.Path("golden", "safetensors", "valid");
        foreach (JsonElement item in Manifest(root).Some())
        {
            using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(root, item.GetProperty("file").GetString()!));
            JsonElement tensors = item.GetProperty("tensors");
            Assert.Equal(tensors.EnumerateObject().Select(t => t.Name).Order(), file.Names.Order());
            foreach (JsonProperty tensor in tensors.EnumerateObject())
            {
                TensorEntry entry = file.Tensors[tensor.Name];
                Assert.Equal(tensor.Value.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64()), entry.Shape);
                if (tensor.Value.TryGetProperty("dtype", out JsonElement type)) Assert.Equal(type.GetString(), entry.Type.HeaderName());
                object[] expected = [.. tensor.Value.GetProperty("values").EnumerateArray().Select(v => Expected(v, entry.Type))];
                Assert.Equal(expected, Values(file, entry));
            }
        }
    }

    [Fact]
    public void SlicesOfATensorAreTheElementsInBetween()
    {
        using SafetensorsFile file = SafetensorsFile.Open(TestData.Path("golden", "safetensors", "valid", "all-types.safetensors"));
        float[] slice = new float[3];
        file.ReadSingles("f16", slice, 2);
        Assert.Equal([1f, -2f, 65504f], slice);
        int[] one = new int[1];
        file.Read("i32", one, 1);
        Assert.Equal(int.MaxValue, one[0]);
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadSingles("f16", new float[3], 7));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadSingles("f16", new float[1], -1));
        Assert.Equal("dtype", Assert.Throws<CheckpointFormatException>(() => file.ReadSingles("i32", new float[2])).Kind);
        Assert.Equal("dtype", Assert.Throws<CheckpointFormatException>(() => file.Read("i32", new short[2])).Kind);
        CheckpointFormatException missing = Assert.Throws<CheckpointFormatException>(() => file.ReadSingles("nothing", new float[2]));
        Assert.Equal(("missing-tensor", "nothing"), (missing.Kind, missing.Item));
    }

    [Fact]
    public void ADisposedFileGivesNoDanglingMemory()
    {
        SafetensorsFile file = SafetensorsFile.Open(Path.Combine(TestData.Demo, "model.safetensors"));
        string name = file.Names[0];
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.GetBytes(name, 0, 1));
    }

    [Theory]
    [InlineData("sub/model.safetensors")]
    [InlineData("C:model.safetensors")]
    [InlineData("..")]
    [InlineData("")]
    public void ShardNamesAreFileNamesInTheFolder(string shard)
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder.File(SafetensorsFolder.IndexFileName), JsonSerializer.Serialize(new { weight_map = new { a = shard } }));
        Assert.Equal("path", Assert.Throws<CheckpointFormatException>(() => SafetensorsFolder.Open(folder.Path)).Kind);
    }

    [Fact]
    public void ATensorThatItsShardHoldsButTheIndexDoesNotListIsRefused()
    {
        using TemporaryFolder folder = new();
        SafetensorsWriter.Write(folder.File("s.safetensors"), [Tensor("a"), Tensor("b")]);
        File.WriteAllText(folder.File(SafetensorsFolder.IndexFileName), """{"weight_map": {"a": "s.safetensors"}}""");
        CheckpointFormatException error = Assert.Throws<CheckpointFormatException>(() => SafetensorsFolder.Open(folder.Path));
        Assert.Equal(("unlisted-tensor", "b"), (error.Kind, error.Item));
    }

    private static PendingTensor Tensor(string name) => PendingTensor.FromSingles(name, SafetensorsType.F32, [1], [1f]);

    private static JsonElement[] Manifest(string root)
    {
        using JsonDocument manifest = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(root, "manifest.json")));
        return [.. manifest.RootElement.Clone().GetProperty("files").EnumerateArray()];
    }

    private static object Expected(JsonElement value, SafetensorsType type)
    {
        string text = value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText();
        text = text switch { "inf" => "Infinity", "-inf" => "-Infinity", "nan" => "NaN", _ => text };
        return type switch
        {
            SafetensorsType.U64 => (object)ulong.Parse(text, CultureInfo.InvariantCulture),
            SafetensorsType.F64 => double.Parse(text, CultureInfo.InvariantCulture),
            SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16 or SafetensorsType.F8E4M3 =>
                BitConverter.SingleToInt32Bits((float)double.Parse(text, CultureInfo.InvariantCulture)), // bits tell -0 from 0
            _ => long.Parse(text, CultureInfo.InvariantCulture),
        };
    }

    private static object[] Values(SafetensorsFile file, TensorEntry entry)
    {
        int count = checked((int)entry.ElementCount);
        object[] Read<T>(Func<T, object> widen)
            where T : unmanaged
        {
            T[] values = new T[count];
            file.Read(entry.Name, values.AsSpan());
            return [.. values.Select(widen)];
        }

        switch (entry.Type)
        {
            case SafetensorsType.U64: return Read<ulong>(v => v);
            case SafetensorsType.I64: return Read<long>(v => v);
            case SafetensorsType.U32: return Read<uint>(v => (long)v);
            case SafetensorsType.I32: return Read<int>(v => (long)v);
            case SafetensorsType.U16: return Read<ushort>(v => (long)v);
            case SafetensorsType.I16: return Read<short>(v => (long)v);
            case SafetensorsType.I8: return Read<sbyte>(v => (long)v);
            case SafetensorsType.U8 or SafetensorsType.Bool: return Read<byte>(v => (long)v);
            case SafetensorsType.F64: return Read<double>(v => v);
            default:
                float[] singles = new float[count];
                file.ReadSingles(entry.Name, singles);
                return [.. singles.Select(v => (object)BitConverter.SingleToInt32Bits(v))];
        }
    }
}
