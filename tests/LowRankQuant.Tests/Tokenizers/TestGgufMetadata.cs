using System.Text;
using LowRankQuant.Models.Tokenizers.Gguf;

namespace LowRankQuant.Tests.Tokenizers;

/// <summary>Just enough of a GGUF reader to get at the vocabulary of a trusted file.</summary>
internal static class TestGgufMetadata
{
    public static GgufVocabulary ReadVocabulary(string path)
    {
        Dictionary<string, object> values = Read(path);
        return new GgufVocabulary
        {
            Model = (string)values["tokenizer.ggml.model"],
            ModelName = values.GetValueOrDefault("general.name") as string,
            Pre = values.GetValueOrDefault("tokenizer.ggml.pre") as string,
            Tokens = List<string>(values, "tokens")!,
            Scores = List<float>(values, "scores"),
            TokenTypes = List<int>(values, "token_type"),
            Merges = List<string>(values, "merges"),
            BosId = Number(values, "bos_token_id"),
            EosId = Number(values, "eos_token_id"),
            UnknownId = Number(values, "unknown_token_id"),
            AddBos = values.GetValueOrDefault("tokenizer.ggml.add_bos_token") as bool?,
            AddEos = values.GetValueOrDefault("tokenizer.ggml.add_eos_token") as bool?,
            AddSpacePrefix = values.GetValueOrDefault("tokenizer.ggml.add_space_prefix") as bool?,
        };
    }

    private static List<T>? List<T>(Dictionary<string, object> values, string key) =>
        values.TryGetValue("tokenizer.ggml." + key, out object? value) ? ((object[])value).Cast<T>().ToList() : null;

    private static int? Number(Dictionary<string, object> values, string key) =>
        values.TryGetValue("tokenizer.ggml." + key, out object? value) ? Convert.ToInt32(value) : null;

    private static Dictionary<string, object> Read(string path)
    {
        using BinaryReader reader = new(new BufferedStream(File.OpenRead(path), 1 << 16));
        Assert.Equal("GGUF", Encoding.ASCII.GetString(reader.ReadBytes(4)));
        reader.ReadUInt32();
        reader.ReadUInt64();
        ulong count = reader.ReadUInt64();
        Dictionary<string, object> values = [];
        for (ulong i = 0; i < count; i++)
        {
            string key = (string)Value(reader, 8);
            values.Add(key, Value(reader, reader.ReadUInt32()));
        }
        return values;
    }

    private static object Value(BinaryReader reader, uint type)
    {
        switch (type)
        {
            case 0: return reader.ReadByte();
            case 1: return reader.ReadSByte();
            case 2: return reader.ReadUInt16();
            case 3: return reader.ReadInt16();
            case 4: return reader.ReadUInt32();
            case 5: return reader.ReadInt32();
            case 6: return reader.ReadSingle();
            case 7: return reader.ReadByte() != 0;
            case 8: return Encoding.UTF8.GetString(reader.ReadBytes((int)reader.ReadUInt64()));
            case 9:
                uint element = reader.ReadUInt32();
                object[] items = new object[reader.ReadUInt64()];
                for (int i = 0; i < items.Length; i++) items[i] = Value(reader, element);
                return items;
            case 10: return reader.ReadUInt64();
            case 11: return reader.ReadInt64();
            case 12: return reader.ReadDouble();
            default: throw new InvalidDataException($"type {type}");
        }
    }
}
