using System.IO.Compression;
using System.Text.Json.Serialization;
using Parquet;
using Parquet.Serialization;
using ZstdSharp;

namespace LowRankQuant.Tests.Quantization.Texts;

/// <summary>Writes the files that data sets come in.</summary>
internal static class TableFiles
{
    public static byte[] Parquet<T>(IEnumerable<T> rows, CompressionMethod method = CompressionMethod.Snappy, int? rowGroup = null)
        where T : class
    {
        using var file = new MemoryStream();
        var options = new ParquetOptions { CompressionMethod = method, CompressionLevel = CompressionLevel.Fastest, RowGroupSize = rowGroup };
        ParquetSerializer.SerializeAsync(rows, file, options, null, TestContext.Current.CancellationToken).GetAwaiter().GetResult();
        return file.ToArray();
    }

    public static byte[] Zstd(byte[] bytes)
    {
        using var compressor = new Compressor();
        return compressor.Wrap(bytes).ToArray();
    }

    public static byte[] Gzip(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest)) gzip.Write(bytes);
        return packed.ToArray();
    }

    internal sealed class TextRow
    {
        [JsonPropertyName("text")]
        public string? Text { get; set; }

        [JsonPropertyName("n")]
        public long N { get; set; }
    }

    internal sealed class Message
    {
        [JsonPropertyName("role")]
        public string? Role { get; set; }

        [JsonPropertyName("content")]
        public string? Content { get; set; }
    }

    internal sealed class ChatRow
    {
        [JsonPropertyName("prompt")]
        public string? Prompt { get; set; }

        [JsonPropertyName("messages")]
        public List<Message>? Messages { get; set; }
    }
}
