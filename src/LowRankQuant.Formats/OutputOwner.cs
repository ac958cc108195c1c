using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace LowRankQuant.Formats;

/// <summary>
/// A process that writes an output, told apart from every other there was: a number is given to a new process once the old one is gone, so its start
/// counts too, and numbers mean something only within one boot of one machine and one space of process numbers (containers have their own).
/// </summary>
/// <param name="Id">Random, of one taking.</param>
/// <param name="Process">Number of the process.</param>
/// <param name="Start">When it began, in units of the system.</param>
/// <param name="Host">Name of the machine.</param>
/// <param name="Machine">The machine and its space of process numbers; empty where the system tells neither.</param>
/// <param name="Boot">This boot of the machine; empty where the system does not tell.</param>
/// <param name="Since">When the output was taken.</param>
/// <param name="Command">What the process does.</param>
internal sealed record OutputOwner(string Id, int Process, string Start, string Host, string Machine, string Boot, DateTime Since, string Command)
{
    private const int LongestCommand = 160;
    private const long LargestFile = 1 << 16;

    /// <summary>This process, now.</summary>
    public static OutputOwner ThisProcess()
    {
        string command = string.Join(' ', Environment.GetCommandLineArgs().Skip(1).Prepend("lrq"));
        return new OutputOwner(
            Guid.NewGuid().ToString("N"), Environment.ProcessId, StartOf(Environment.ProcessId) ?? "", Environment.MachineName, ThisMachine(), ThisBoot(),
            DateTime.UtcNow, command.Length > LongestCommand ? command[..LongestCommand] + "..." : command);
    }

    /// <summary>Reads a file; null where it is absent, or says nothing that can be understood.</summary>
    public static OutputOwner? TryRead(string file)
    {
        try
        {
            if (!File.Exists(file)) return null;
            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            return TryRead(stream);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <inheritdoc cref="TryRead(string)"/>
    public static OutputOwner? TryRead(FileStream stream)
    {
        if (stream.Length is 0 or > LargestFile) return null;
        try
        {
            using JsonDocument document = JsonDocument.Parse(stream);
            JsonElement root = document.RootElement;
            return new OutputOwner(
                Text("id"), root.GetProperty("process").GetInt32(), Text("start"), Text("host"), Text("machine"), Text("boot"), root.GetProperty("since").GetDateTime(), Text("command"));

            string Text(string key) => root.GetProperty(key).GetString() ?? "";
        }
        catch (Exception failure) when (failure is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            return null;
        }
    }

    /// <summary>Writes the file.</summary>
    public void Write(FileStream stream)
    {
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("id", Id);
            json.WriteNumber("process", Process);
            json.WriteString("start", Start);
            json.WriteString("host", Host);
            json.WriteString("machine", Machine);
            json.WriteString("boot", Boot);
            json.WriteString("since", Since);
            json.WriteString("command", Command);
            json.WriteEndObject();
        }
        stream.Flush(flushToDisk: true);
    }

    /// <summary>In words: process, machine, since when, what it does.</summary>
    public string Describe() => string.Create(CultureInfo.InvariantCulture, $"process {Process} on {Host} since {Since:yyyy-MM-dd HH:mm:ss} UTC ({Command})");

    /// <summary>Why others may not write the output, with the remedy; null when the owner is gone.</summary>
    /// <param name="output">The output.</param>
    /// <param name="file">The file that names the owner.</param>
    public string? Problem(string output, string file)
    {
        if (Host != Environment.MachineName || Machine != ThisMachine())
        {
            return Boot.Length > 0 && Host == Environment.MachineName && SameMachine() && Boot != ThisBoot()
                ? null
                : $"{output} is held by {Describe()}, and whether that still runs cannot be seen from {Environment.MachineName}: choose another `out`, or delete {file} when it is certain that it does not.";
        }
        return Boot == ThisBoot() && StartOf(Process) is { } start && (start == Start || start.Length == 0 || Start.Length == 0)
            ? $"{output} is held by {Describe()}: wait for it, stop it, or choose another `out`."
            : null;
    }

    // Numbers of processes begin anew with every boot, whatever space they were given in.
    private bool SameMachine() => Machine.Split(' ')[0] == ThisMachine().Split(' ')[0];

    private static string ThisMachine()
    {
        if (!OperatingSystem.IsLinux()) return "";
        string space = new FileInfo("/proc/self/ns/pid").LinkTarget ?? "";
        return $"{Contents("/etc/machine-id")} {space}";
    }

    private static string ThisBoot() => OperatingSystem.IsLinux() ? Contents("/proc/sys/kernel/random/boot_id") : "";

    private static string Contents(string file)
    {
        try
        {
            return File.ReadAllText(file).Trim();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    // Null when there is no such process, empty when there is one that may not be looked at. Clocks are set, so ticks since the boot are taken where they are to be had.
    private static string? StartOf(int process)
    {
        try
        {
            using Process found = System.Diagnostics.Process.GetProcessById(process);
            if (!OperatingSystem.IsLinux()) return found.StartTime.ToUniversalTime().Ticks.ToString(CultureInfo.InvariantCulture);
            string stat = Contents($"/proc/{process}/stat");
            // The name in brackets may hold anything; the state is the first field behind it, the start the twentieth. A zombie does nothing any more.
            string[] fields = stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            return fields.Length < 20 ? "" : fields[0] is "Z" or "X" ? null : fields[19];
        }
        catch (Exception failure) when (failure is ArgumentException or InvalidOperationException)
        {
            return null;
        }
        catch (Exception failure) when (failure is Win32Exception or NotSupportedException)
        {
            return "";
        }
    }
}
