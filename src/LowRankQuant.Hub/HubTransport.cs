using System.Net;
using System.Net.Http.Headers;
using System.Reflection;

namespace LowRankQuant.Hub;

/// <summary>One request and its redirects. Redirects are followed here and not by the runtime, so that the token stays with the hub.</summary>
internal sealed class HubTransport : IDisposable
{
    private const int MostRedirects = 8;
    private readonly HubOptions _options;
    private readonly HubAddresses _addresses;
    private readonly HttpClient _client;

    public HubTransport(HubOptions options, HubAddresses addresses)
    {
        (_options, _addresses) = (options, addresses);
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            // Sizes and ranges are those of the file, not of something compressed on the way.
            AutomaticDecompression = DecompressionMethods.None,
            UseCookies = false,
            ConnectTimeout = options.StallTimeout,
        };
        _client = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
    }

    public void Dispose() => _client.Dispose();

    /// <summary>Sends a request; the answer's body is not read yet.</summary>
    /// <param name="method">GET or HEAD.</param>
    /// <param name="address">Where to.</param>
    /// <param name="from">First byte wanted.</param>
    /// <param name="last">Whether an answer that redirects is taken as it is.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <returns>The answer; whatever its status.</returns>
    /// <exception cref="TransientHubException">No connection, or no answer in time.</exception>
    /// <exception cref="HubException">Redirects go in circles or where they must not.</exception>
    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, Uri address, long from, Func<HttpResponseMessage, bool> last, CancellationToken cancellation)
    {
        Uri at = address;
        for (int hop = 0; hop <= MostRedirects; hop++)
        {
            HttpResponseMessage response = await OnceAsync(method, at, from, cancellation).ConfigureAwait(false);
            if (response.StatusCode is not (HttpStatusCode.MovedPermanently or HttpStatusCode.Found or HttpStatusCode.SeeOther or HttpStatusCode.TemporaryRedirect or HttpStatusCode.PermanentRedirect)) return response;
            if (last(response)) return response;
            using (response) at = Next(at, response.Headers.Location);
        }
        throw new HubException($"{HubAddresses.Shown(address)}: {MostRedirects} redirects lead to no file; the hub, or what stands between, is set up wrongly.");
    }

    private static Uri Next(Uri at, Uri? location)
    {
        if (location is null) throw new HubException($"{HubAddresses.Shown(at)}: a redirect without a place to go to.");
        Uri next = location.IsAbsoluteUri ? location : new Uri(at, location);
        // The file would come unencrypted though it was asked for otherwise.
        bool sound = next.Scheme == Uri.UriSchemeHttps || (next.Scheme == Uri.UriSchemeHttp && at.Scheme == Uri.UriSchemeHttp);
        return sound ? next : throw new HubException($"{HubAddresses.Shown(at)}: is redirected to {next.Scheme}://{next.Host}, which is not followed; only https is, from http also http.");
    }

    private async Task<HttpResponseMessage> OnceAsync(HttpMethod method, Uri address, long from, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(method, address);
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("lrq", Assembly.GetExecutingAssembly().GetName().Version?.ToString(3)));
        request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
        if (from > 0) request.Headers.Range = new RangeHeaderValue(from, null);
        if (_options.Token is { } token && _addresses.IsOwn(address)) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(_options.StallTimeout);
        try
        {
            return await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException slow) when (!cancellation.IsCancellationRequested)
        {
            throw new TransientHubException($"{HubAddresses.Shown(address)}: no answer within {_options.StallTimeout.TotalSeconds:0} s", "try later", slow);
        }
        catch (HttpRequestException failure)
        {
            string remedy = _addresses.IsOwn(address) ? "HF_ENDPOINT names another hub, HTTPS_PROXY a proxy" : "try later";
            throw new TransientHubException($"{HubAddresses.Shown(address)} is not reached: {failure.Message.TrimEnd('.')}", remedy, failure);
        }
    }
}
